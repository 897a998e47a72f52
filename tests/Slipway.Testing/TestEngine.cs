using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Slipway.Data;

namespace Slipway.Testing;

/// <summary>
/// One engine process of this test process. It ends when the test process does, however that happens: a small shell stands between
/// them, whose standard input is a pipe from here; at end of file it kills the engine and removes the folder (unless told "keep").
/// </summary>
internal sealed class TestEngine : IAsyncDisposable
{
    /// <summary>$1 folder to remove, the rest the engine's command. Own session: Ctrl-C in the terminal is for the tests, not for the engine.</summary>
    private const string Guard = """
        trap '' INT TERM HUP
        folder=$1; shift
        setsid "$@" </dev/null >>"$folder/log" 2>&1 &
        engine=$!
        echo $engine
        read -r word
        kill -KILL $engine 2>/dev/null
        wait $engine 2>/dev/null
        [ "$word" = keep ] || rm -rf "$folder"
        """;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(30);

    private readonly Process guard;
    private readonly string folder;

    private TestEngine(Process guard, string folder, int processId)
    {
        this.guard = guard;
        this.folder = folder;
        ProcessId = processId;
    }

    public int ProcessId { get; }

    /// <param name="folder">Removed at the end; must hold nothing else.</param>
    public static async Task<TestEngine> StartAsync(
        string folder, IReadOnlyList<string> command, Func<CancellationToken, Task<bool>> ready, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true, RedirectStandardOutput = true, WorkingDirectory = "/" };
        foreach (var word in (string[])["-c", Guard, "sh", folder, .. EngineAccount.Current.CommandPrefix, .. command])
        {
            start.ArgumentList.Add(word);
        }

        var guard = Process.Start(start)!;
        var processId = int.Parse((await guard.StandardOutput.ReadLineAsync(cancellationToken))!, System.Globalization.CultureInfo.InvariantCulture);
        var engine = new TestEngine(guard, folder, processId);
        try
        {
            await Eventually.TrueAsync(ready, cancellationToken, StartLimit, command[0] + " answers");
            return engine;
        }
        catch (TimeoutException e)
        {
            var log = await File.ReadAllTextAsync(Path.Combine(folder, "log"), CancellationToken.None);
            await engine.DisposeAsync();
            throw new InvalidOperationException($"{command[0]} did not start:\n{log}", e);
        }
    }

    /// <summary>True once something accepts on the socket and answers <paramref name="question"/> with a text that starts like <paramref name="answer"/>.</summary>
    public static async Task<bool> AnswersAsync(string socketPath, ReadOnlyMemory<byte> question, string answer, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancellationToken);
            await socket.SendAsync(question, SocketFlags.None, cancellationToken);
            var buffer = new byte[64];
            var read = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken);
            return Encoding.ASCII.GetString(buffer, 0, read).StartsWith(answer, StringComparison.Ordinal);
        }
        catch (SocketException)
        {
            return false;
        }
    }

    public void Kill() => ProcessTable.Signal(ProcessId, Data.Signal.Kill);

    public void Signal(Signal signal) => ProcessTable.Signal(ProcessId, signal);

    /// <summary>Ends the engine but leaves its folder, for a successor.</summary>
    public async Task ReleaseAsync()
    {
        await guard.StandardInput.WriteLineAsync("keep");
        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        guard.StandardInput.Close();
        await guard.WaitForExitAsync();
        guard.Dispose();
    }

    public override string ToString() => folder;
}
