using System.Diagnostics.Metrics;

namespace Slipway.Grpc;

/// <summary>
/// How long the calls of each method took and how they ended, in the meter "Slipway.Grpc". One instrument, as its count is the number of
/// calls: all the measurements of a call, Kestrel's too, are 3.5 % of a small write (bench/buildcache). Methods are those that were mapped, so the labels are bounded.
/// </summary>
internal static class GrpcServerMetrics
{
    private static readonly Meter Meter = new("Slipway.Grpc");
    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>("slipway.grpc.call.duration", "s", "Calls of gRPC by method and status, from their headers to their trailers.");

    // Names as every gRPC tool shows them, boxed once.
    private static readonly object[] Statuses = [.. Enumerable.Range(0, 17).Select(code => (object)NameOf((GrpcStatus)code))];

    public static bool IsWanted => Duration.Enabled;

    public static void Ended(GrpcMethod method, GrpcStatus status, TimeSpan took) => Duration.Record(
        took.TotalSeconds,
        new KeyValuePair<string, object?>("method", method.Path),
        new KeyValuePair<string, object?>("status", (uint)status < (uint)Statuses.Length ? Statuses[(int)status] : Statuses[(int)GrpcStatus.Unknown]));

    // NotFound: NOT_FOUND.
    private static string NameOf(GrpcStatus status) => string.Concat(
        status.ToString().Select((character, at) => at > 0 && char.IsAsciiLetterUpper(character) ? $"_{character}" : $"{char.ToUpperInvariant(character)}"));
}
