namespace Slipway.Cli.Jobs.Benching;

/// <summary>What <c>slipway jobs bench</c> measured: jobs a second, times in milliseconds.</summary>
/// <param name="Jobs">In the bulk phases.</param>
/// <param name="BulkPerSecond">Enqueued in blocks.</param>
/// <param name="SinglePerSecond">Enqueued one a request.</param>
/// <param name="WorkPerSecond">Leased and acknowledged, no-op.</param>
/// <param name="PickUp">From before the enqueue to the lease's answer, at a steady rate with an idle worker.</param>
internal sealed record BenchReport(
    string Server, int Jobs, int PayloadBytes, int Connections, int Block, double BulkPerSecond, double WorkPerSecond, double SinglePerSecond, BenchLatency Single, double PickUpRate, BenchLatency PickUp);

internal sealed record BenchLatency(int Samples, double P50, double P90, double P99, double Most)
{
    public static BenchLatency Of(IEnumerable<double> milliseconds)
    {
        var sorted = milliseconds.Order().ToArray();
        return sorted.Length == 0 ? new BenchLatency(0, 0, 0, 0, 0) : new BenchLatency(sorted.Length, At(0.5), At(0.9), At(0.99), Math.Round(sorted[^1], 3));

        double At(double share) => Math.Round(sorted[Math.Min(sorted.Length - 1, (int)(share * sorted.Length))], 3);
    }
}
