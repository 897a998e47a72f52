using System.Runtime.InteropServices;

namespace Slipway.Cli.Shell;

/// <summary>The first Ctrl-C (or SIGTERM) asks the running command to stop; the second ends the program at once.</summary>
internal sealed class Interrupt : IDisposable
{
    private readonly CancellationTokenSource source = new();
    private readonly PosixSignalRegistration onInterrupt;
    private readonly PosixSignalRegistration onTerminate;

    public Interrupt()
    {
        onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
    }

    /// <summary>Cancelled when the user wants the command to end.</summary>
    public CancellationToken Token => source.Token;

    public void Dispose()
    {
        onInterrupt.Dispose();
        onTerminate.Dispose();
        source.Dispose();
    }

    private void Stop(PosixSignalContext signal)
    {
        if (!source.IsCancellationRequested)
        {
            signal.Cancel = true;
            source.Cancel();
        }
    }
}
