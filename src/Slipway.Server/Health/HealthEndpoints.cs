using System.Text;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Slipway.Api;
using Slipway.Server.Telemetry;

namespace Slipway.Server.Health;

/// <summary><c>/healthz</c>, <c>/readyz</c> and <c>/metrics</c>.</summary>
internal static class HealthEndpoints
{
    public static void MapHealth(this IEndpointRouteBuilder endpoints)
    {
        // Alive means: this process answers. Nothing else is looked at, or an outage of the database would restart us for nothing.
        endpoints.MapGet(Routes.Health, () => TypedResults.Text("ok\n")).ExcludeFromDescription();

        endpoints.MapGet(Routes.Ready, async (Readiness readiness, CancellationToken cancellationToken) =>
        {
            var report = await readiness.ReportAsync(cancellationToken);
            return TypedResults.Json(report, HealthJson.Default.ReadinessReport, statusCode: report.IsReady ? 200 : 503);
        }).ExcludeFromDescription();

        endpoints.MapGet(Routes.Metrics, async (HttpContext http, MetricRegistry metrics, CancellationToken cancellationToken) =>
        {
            var text = new StringWriter();
            metrics.Write(text);
            http.Response.ContentType = PrometheusText.ContentType;
            await http.Response.WriteAsync(text.ToString(), Encoding.UTF8, cancellationToken);
        }).ExcludeFromDescription();
    }
}

[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(ReadinessReport))]
internal sealed partial class HealthJson : JsonSerializerContext;
