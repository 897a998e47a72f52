using System.Runtime.InteropServices;

namespace Slipway.Server.Hosting;

/// <summary>SIGTERM and Ctrl+C: the first asks the server to stop, the second to hurry.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly CancellationTokenSource force = new();
    private readonly PosixSignalRegistration[] registrations;

    public StopSignals() => registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, Receive),
        PosixSignalRegistration.Create(PosixSignal.SIGINT, Receive),
        PosixSignalRegistration.Create(PosixSignal.SIGQUIT, Receive),
    ];

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Stop => stop.Token;

    /// <summary>Cancelled by the second.</summary>
    public CancellationToken Force => force.Token;

    public void Dispose()
    {
        foreach (var registration in registrations)
        {
            registration.Dispose();
        }
    }

    private void Receive(PosixSignalContext context)
    {
        // Handled here: without this the runtime ends the process on its own.
        context.Cancel = true;
        if (stop.IsCancellationRequested)
        {
            force.Cancel();
        }
        else
        {
            stop.Cancel();
        }
    }
}
