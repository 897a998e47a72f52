using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Shouldly;
using Xunit;

namespace Slipway.Server.Tests.OpenApi;

public sealed class OpenApiTests(RunningServer server) : IClassFixture<RunningServer>
{
    [Fact]
    public async Task Every_v1_route_is_described_with_summary_problems_and_permission()
    {
        using var document = JsonDocument.Parse(await server.Client.GetStringAsync("/openapi/v1.json", TestContext.Current.CancellationToken));
        document.RootElement.GetProperty("openapi").GetString()!.ShouldStartWith("3.1");
        var schemes = document.RootElement.GetProperty("components").GetProperty("securitySchemes");
        schemes.TryGetProperty("bearer", out _).ShouldBeTrue();
        schemes.TryGetProperty("basic", out _).ShouldBeTrue();
        document.RootElement.GetProperty("components").GetProperty("schemas").GetProperty("Problem").GetProperty("properties").TryGetProperty("code", out _).ShouldBeTrue();

        var described = document.RootElement.TryGetProperty("paths", out var paths)
            ? paths.EnumerateObject().SelectMany(path => path.Value.EnumerateObject().Where(one => one.Value.TryGetProperty("responses", out _))
                .Select(operation => (Name: $"{operation.Name.ToUpperInvariant()} {path.Name}", Operation: operation.Value))).ToList()
            : [];
        var mapped = server.Server.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(endpoint => endpoint.RoutePattern.RawText!.StartsWith("/v1/", StringComparison.Ordinal))
            .SelectMany(endpoint => endpoint.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Select(method => $"{method} {endpoint.RoutePattern.RawText}"));

        described.Select(one => one.Name).ShouldBe(mapped, ignoreOrder: true);
        List<string> faults = [];
        foreach (var (name, operation) in described)
        {
            if (!operation.TryGetProperty("summary", out var summary) || summary.GetString()!.Length < 5)
            {
                faults.Add($"{name} has no summary: add WithSummary");
            }

            if (!operation.TryGetProperty("operationId", out _) || !operation.TryGetProperty("tags", out _))
            {
                faults.Add($"{name} has no operation id or no tag");
            }

            if (!operation.TryGetProperty("x-slipway-permission", out var permission) || permission.GetString() is "undeclared")
            {
                faults.Add($"{name} has no permission: add RequirePermission or another access rule");
            }

            if (!operation.GetProperty("responses").EnumerateObject().Any(response => response.Value.TryGetProperty("content", out var content) && content.TryGetProperty("application/problem+json", out _)))
            {
                faults.Add($"{name} has no problem response");
            }
        }

        faults.ShouldBeEmpty();
        described.Select(one => one.Operation.GetProperty("operationId").GetString()).ShouldBeUnique();
    }
}
