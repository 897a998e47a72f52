using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;

namespace Slipway.Server.Telemetry;

/// <summary>The process as Prometheus users know it (<c>process_…</c>); the runtime brings its own meter, <c>System.Runtime</c>.</summary>
internal sealed class ProcessMetrics : IDisposable, IHostedService
{
    private readonly Meter meter = new("Slipway.Process");

    public ProcessMetrics(TimeProvider time)
    {
        var started = time.GetUtcNow();
        meter.CreateObservableGauge("process.start_time", () => started.ToUnixTimeMilliseconds() / 1000.0, "s", "Start of the process since the Unix epoch.");
        meter.CreateObservableGauge("process.resident_memory", () => Environment.WorkingSet, "By", "Resident memory.");
        meter.CreateObservableCounter("process.cpu", () => Environment.CpuUsage.TotalTime.TotalSeconds, "s", "User and system CPU time.");
        meter.CreateObservableGauge("process.open_fds", CountOpenFiles, null, "Open file descriptors.");
        meter.CreateObservableGauge("process.threads", () => Process.GetCurrentProcess().Threads.Count, null, "Threads of the process.");
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => meter.Dispose();

    private static int CountOpenFiles() => Directory.Exists("/proc/self/fd") ? Directory.EnumerateFileSystemEntries("/proc/self/fd").Count() : 0;
}
