using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Npgsql;
using Slipway.Api;
using Slipway.Tenancy;

namespace Slipway.Server.Tests;

/// <summary>Endpoints that behave badly on purpose.</summary>
internal static class TestEndpoints
{
    public const string Secret = "internal-detail-nobody-may-see";

    public static void Map(WebApplication app)
    {
        app.MapPost("/test/json", (CreateOrgRequest request) => TypedResults.Text(request.Name));
        app.MapGet("/test/number/{number:int}", (int number, int? more) => TypedResults.Text($"{number}{more}"));
        app.MapGet("/test/throw", string () => throw new InvalidOperationException(Secret));
        app.MapGet("/test/problem", string () => throw new ApiException(409, ProblemCodes.Conflict, "taken", "take another", new FieldFault("/slug", "taken")));
        app.MapGet("/test/database", async (CancellationToken cancellationToken) =>
        {
            // Port 1 on loopback refuses at once.
            await using var connection = new NpgsqlConnection("Host=127.0.0.1;Port=1;Username=x;Password=" + Secret);
            await connection.OpenAsync(cancellationToken);
        });
        app.MapGet("/test/half", async (HttpContext http, CancellationToken cancellationToken) =>
        {
            http.Response.ContentLength = 1000;
            await http.Response.WriteAsync("half", cancellationToken);
            await http.Response.Body.FlushAsync(cancellationToken);
            throw new InvalidOperationException(Secret);
        });
        // Answers without a look at the body, as every refusal of ours does.
        app.MapPut("/test/refuse/{status:int}", (int status) => TypedResults.StatusCode(status));
        app.MapPut("/nix/acme/main/refuse/{status:int}", (int status) => TypedResults.StatusCode(status));
        app.MapPut("/test/read", async (HttpContext http, CancellationToken cancellationToken) =>
        {
            await http.Request.Body.CopyToAsync(Stream.Null, cancellationToken);
            return TypedResults.Text("read");
        });
        app.MapGet("/nix/{org}/{cache}/nix-cache-info", (string org, string cache) => TypedResults.Text($"{org} {cache}"));
    }
}
