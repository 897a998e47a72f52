using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Slipway.Cli.Jobs.Working;

/// <summary>Signals to a process that leads a group, and to all in it.</summary>
internal static partial class ProcessGroup
{
    public const int Kill = 9;
    public const int Terminate = 15;

    public static void Signal(int leader, int signal)
    {
        // In the instant before setsid has run there is no group yet.
        if (SendSignal(-leader, signal) != 0)
        {
            _ = SendSignal(leader, signal);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}

/// <summary>
/// Starts all processes from one thread that lives as long as the worker: Linux sends the signal of PR_SET_PDEATHSIG when the thread that
/// forked ends, and threads of the pool come and go.
/// </summary>
internal sealed class Launcher : IDisposable
{
    private readonly BlockingCollection<(ProcessStartInfo Start, TaskCompletionSource<Process> Started)> waiting = [];

    public Launcher()
    {
        new Thread(Run) { IsBackground = true, Name = "launcher" }.Start();
    }

    public Task<Process> StartAsync(ProcessStartInfo start)
    {
        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        waiting.Add((start, started));
        return started.Task;
    }

    public void Dispose() => waiting.CompleteAdding();

    private void Run()
    {
        foreach (var (start, started) in waiting.GetConsumingEnumerable())
        {
            try
            {
                started.SetResult(Process.Start(start)!);
            }
            catch (Exception exception)
            {
                started.SetException(exception);
            }
        }

        waiting.Dispose();
    }
}
