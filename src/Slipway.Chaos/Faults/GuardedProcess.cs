using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Slipway.Chaos.Faults;

/// <summary>
/// A process that signals can be sent to, and that ends when this one does, however that happens: a small shell of its own session
/// stands between them; at the end of its standard input, a pipe from here, it kills the process.
/// </summary>
internal sealed partial class GuardedProcess : IAsyncDisposable
{
    private const string Guard = """
        log=$1; shift
        exec 3<&0 2>/dev/null
        "$@" </dev/null >>"$log" 2>&1 3<&- &
        child=$!
        echo $child
        (read -r word <&3; kill -KILL $child) 2>/dev/null &
        guard=$!
        wait $child
        code=$?
        kill -KILL $guard 2>/dev/null
        echo $code
        """;

    private readonly Process guard;
    private readonly Task<string?> end;

    private GuardedProcess(Process guard, int processId, string logPath)
    {
        this.guard = guard;
        ProcessId = processId;
        LogPath = logPath;
        end = guard.StandardOutput.ReadLineAsync();
    }

    public int ProcessId { get; }

    public string LogPath { get; }

    public bool HasEnded => end.IsCompleted;

    public static async Task<GuardedProcess> StartAsync(
        IReadOnlyList<string> command, string logPath, IReadOnlyDictionary<string, string>? environment, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo("setsid") { RedirectStandardInput = true, RedirectStandardOutput = true };
        foreach (string word in (string[])["/bin/sh", "-c", Guard, "sh", logPath, .. command])
        {
            start.ArgumentList.Add(word);
        }

        // What is killed cannot take the sockets of its debugger with it.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        Process guard = Process.Start(start)!;
        string? line = await guard.StandardOutput.ReadLineAsync(cancellationToken);
        return new GuardedProcess(guard, int.Parse(line!, CultureInfo.InvariantCulture), logPath);
    }

    /// <summary>False when the process is gone.</summary>
    public bool Send(Signal signal) => !end.IsCompleted && Kill(ProcessId, (int)signal) == 0;

    /// <summary>As a shell has it: 0–125, or 128 + the signal's number.</summary>
    public async Task<int> ExitCodeAsync(CancellationToken cancellationToken) =>
        await end.WaitAsync(cancellationToken) is { } code ? int.Parse(code, CultureInfo.InvariantCulture) : -1;

    /// <summary>Processor time so far, user and system; see proc(5).</summary>
    public TimeSpan ProcessorTime()
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{ProcessId}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            // Ticks of USER_HZ, which is 100 on every architecture .NET runs on.
            return TimeSpan.FromSeconds((long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) / 100.0);
        }
        catch (IOException)
        {
            return TimeSpan.Zero;
        }
    }

    /// <summary>Memory of its own in bytes, without mapped files such as our records; 0 when it is gone.</summary>
    public long PrivateBytes()
    {
        try
        {
            string line = File.ReadLines($"/proc/{ProcessId}/status").First(line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
            return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) * 1024;
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            return 0;
        }
    }

    public async ValueTask DisposeAsync()
    {
        guard.StandardInput.Close();
        await guard.WaitForExitAsync();
        guard.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int processId, int signal);
}

/// <summary>Numbers of signal(7), the same on every Linux architecture .NET runs on.</summary>
internal enum Signal
{
    Kill = 9,
    Terminate = 15,
    Continue = 18,
    Stop = 19,
}
