using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Logs;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Slipway.Server.Configuration;

namespace Slipway.Server.Telemetry;

/// <summary>Logs, metrics and traces of the server.</summary>
internal static class TelemetryServices
{
    public static void AddSlipwayLogging(this ILoggingBuilder logging, ServerConfiguration configuration)
    {
        logging.SetMinimumLevel(configuration.Log.Level);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("Npgsql", LogLevel.Warning);
        // A start that fails is told by UpCommand, in words.
        logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.Critical);
        // While this category is on, hosting makes a scope and an activity for each request, narinfo hits included. Our own access
        // log does it for the requests that log; with a trace listener hosting makes activities all the same.
        logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        // Unhandled exceptions are logged once, with the request id, where they become a problem.
        logging.AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Error);
        logging.AddConsole(console => console.FormatterName = IsJson(configuration) ? JsonLogFormatter.FormatterName : ConsoleLogFormatter.FormatterName);
        logging.AddConsoleFormatter<JsonLogFormatter, Microsoft.Extensions.Logging.Console.ConsoleFormatterOptions>();
        logging.AddConsoleFormatter<ConsoleLogFormatter, Microsoft.Extensions.Logging.Console.ConsoleFormatterOptions>();
        if (configuration.Otlp.Endpoint is not null)
        {
            logging.AddOpenTelemetry(options =>
            {
                options.IncludeScopes = true;
                options.IncludeFormattedMessage = true;
                options.SetResourceBuilder(Resource());
                options.AddOtlpExporter(exporter => Configure(exporter, configuration.Otlp, "v1/logs"));
            });
        }
    }

    public static IServiceCollection AddTelemetry(this IServiceCollection services, ServerConfiguration configuration)
    {
        services.AddSingleton<MetricRegistry>();
        services.AddHostedService<ProcessMetrics>();
        if (configuration.Otlp.Endpoint is not null)
        {
            services.AddSingleton(_ => Sdk.CreateTracerProviderBuilder()
                .SetResourceBuilder(Resource())
                .AddSource("Microsoft.AspNetCore", "Slipway.*", "Npgsql")
                .AddOtlpExporter(exporter => Configure(exporter, configuration.Otlp, "v1/traces"))
                .Build());
        }

        return services;
    }

    public static bool IsJson(ServerConfiguration configuration) =>
        configuration.Log.Format == LogFormat.Json || (configuration.Log.Format == LogFormat.Auto && Console.IsOutputRedirected);

    private static ResourceBuilder Resource() => ResourceBuilder.CreateEmpty()
        .AddService("slipway", serviceVersion: typeof(TelemetryServices).Assembly.GetName().Version?.ToString(3), serviceInstanceId: $"{Environment.MachineName}:{Environment.ProcessId}");

    private static void Configure(OtlpExporterOptions exporter, OtlpConfiguration otlp, string path)
    {
        // OTLP over HTTP: every collector takes it, proxies included, and given in code the exporter adds no path itself.
        exporter.Protocol = OtlpExportProtocol.HttpProtobuf;
        exporter.Endpoint = new Uri(otlp.Endpoint!.ToString().TrimEnd('/') + "/" + path);
        exporter.Headers = otlp.Headers;
    }
}
