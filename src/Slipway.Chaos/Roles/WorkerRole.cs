using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Slipway.Chaos.Roles;

/// <summary><c>Slipway.Chaos worker SETTINGS</c>: works until SIGTERM, then stops gracefully and exits with 0.</summary>
internal static class WorkerRole
{
    public static async Task<int> RunAsync(string json)
    {
        WorkerSettings settings = JsonSerializer.Deserialize(json, RoleJson.Default.WorkerSettings)!;
        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using PosixSignalRegistration term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            stop.TrySetResult();
        });
        using ILoggerFactory logging = LoggerFactory.Create(builder => builder.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss.fff ";
        }).SetMinimumLevel(LogLevel.Information));
        await using (await WorkerHost.StartAsync(settings, TimeProvider.System, logging, null, CancellationToken.None))
        {
            await stop.Task;
        }

        return 0;
    }
}
