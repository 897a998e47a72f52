using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Routing;

namespace Slipway.Testing;

/// <summary>What one cell sends. <paramref name="Token"/> replaces the actor's usual credential.</summary>
public sealed record PreparedCall(string Path, string? Body = null, string? IfMatch = null, string? Token = null)
{
    public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];
}

/// <summary>One route in an access table.</summary>
/// <param name="Expected">Twelve statuses in the order of <see cref="Actor"/>.</param>
/// <param name="Scope">The scope that lets a key in; null where no key may, or any key may.</param>
/// <param name="Prepare">Makes what the call needs, fresh for every cell, so that cells don't change each other's outcome.</param>
public sealed record AccessRow(
    string Method,
    string Route,
    string Expected,
    string? Scope,
    Func<AccessWorld, Actor, CancellationToken, Task<PreparedCall>> Prepare)
{
    public static AccessRow Of(string method, string route, string expected, string? scope = null, string? path = null, string? body = null) =>
        new(method, route, expected, scope, (_, _, _) => Task.FromResult(new PreparedCall(path ?? route.Replace("{org}", AccessWorld.Org, StringComparison.Ordinal), body)));
}

/// <summary>Walks every route for every actor, and finds routes that nobody put into the table.</summary>
public static class AccessTable
{
    /// <summary>Calls every cell and returns what was not as expected, one line each.</summary>
    public static async Task<string> DifferencesAsync(AccessWorld world, IReadOnlyList<AccessRow> rows, CancellationToken cancellationToken)
    {
        var differences = new StringBuilder();
        foreach (var row in rows)
        {
            var expected = row.Expected.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(text => int.Parse(text, CultureInfo.InvariantCulture)).ToArray();
            if (expected.Length != Enum.GetValues<Actor>().Length)
            {
                throw new ArgumentException($"{row.Method} {row.Route} has {expected.Length} cells.", nameof(rows));
            }

            foreach (var actor in Enum.GetValues<Actor>())
            {
                var call = await row.Prepare(world, actor, cancellationToken);
                var token = call.Token ?? await world.TokenAsync(actor, row.Scope, cancellationToken);
                using var response = await world.Client.CallAsync(
                    row.Method, call.Path, token, call.Body, cancellationToken, [.. call.Headers, .. call.IfMatch is { } version ? [("If-Match", version)] : Array.Empty<(string, string)>()]);
                if ((int)response.StatusCode != expected[(int)actor])
                {
                    var text = response.IsSuccessStatusCode ? "" : await response.Content.ReadAsStringAsync(cancellationToken);
                    differences.AppendLine(
                        CultureInfo.InvariantCulture, $"{row.Method} {row.Route} as {actor}: expected {expected[(int)actor]}, was {(int)response.StatusCode} {text}");
                }
            }
        }

        return differences.ToString();
    }

    /// <summary>Mapped routes that have no row, and rows that have no route.</summary>
    public static IReadOnlyList<string> Uncovered(IEnumerable<Microsoft.AspNetCore.Http.Endpoint> endpoints, IReadOnlyList<AccessRow> rows)
    {
        var mapped = endpoints.OfType<RouteEndpoint>()
            .SelectMany(endpoint => (endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["*"]).Select(method => $"{method} {endpoint.RoutePattern.RawText}"))
            .ToHashSet(StringComparer.Ordinal);
        var tabled = rows.Select(row => $"{row.Method} {row.Route}").ToHashSet(StringComparer.Ordinal);
        return [.. mapped.Except(tabled).Select(route => "no row: " + route), .. tabled.Except(mapped).Select(route => "no route: " + route)];
    }
}
