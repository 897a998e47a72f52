using System.Net.Sockets;

namespace Slipway.Data;

/// <summary>What differs between the two engines: how to prepare, start, find, ask and stop one. <see cref="EngineSupervisor"/> does the rest.</summary>
internal abstract class Engine(string name, EngineFolders folders)
{
    public string Name { get; } = name;

    public EngineFolders Folders { get; } = folders;

    /// <summary>
    /// Held by the engine's process itself, from before its program starts until it is dead, and inherited by nothing else: while it is
    /// held a second engine cannot start, whatever happened to the server in between.
    /// </summary>
    public string LockFile { get; } = folders.LockOf(name);

    public string LogFile { get; } = folders.LogOf(name);

    /// <summary>Everything that must be there before the program starts. Not called for an engine found running.</summary>
    public abstract Task PrepareAsync(CancellationToken cancellationToken);

    public abstract IReadOnlyList<string> Command();

    /// <summary>The number the engine wrote down itself; only a hint until the lock confirms it.</summary>
    protected abstract int? WrittenProcessId();

    /// <summary>True when it answers and can be used.</summary>
    public abstract Task<bool> AnswersAsync(CancellationToken cancellationToken);

    public abstract Task AskToStopAsync(int processId, CancellationToken cancellationToken);

    /// <summary>For an engine that did not stop when asked: the hardest way that loses nothing acknowledged.</summary>
    public abstract Signal LastResort { get; }

    public int? FindRunning() =>
        WrittenProcessId() is { } id && ProcessTable.IsAlive(id) && ProcessTable.HasOpen(id, LockFile) ? id : null;

    /// <summary>Sends a few bytes to a unix socket and gives what comes back, until that is enough; empty when nobody listens.</summary>
    protected static async Task<byte[]> AskAsync(
        string socketPath, ReadOnlyMemory<byte> question, Func<ReadOnlySpan<byte>, bool> enough, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancellationToken);
            await socket.SendAsync(question, SocketFlags.None, cancellationToken);
            // PostgreSQL's greeting is about 400 bytes; more than this is no answer to any of our questions.
            var answer = new byte[4096];
            var length = 0;
            while (length < answer.Length)
            {
                var read = await socket.ReceiveAsync(answer.AsMemory(length), SocketFlags.None, cancellationToken);
                length += read;
                if (read == 0 || enough(answer.AsSpan(0, length)))
                {
                    break;
                }
            }

            return answer[..length];
        }
        catch (SocketException)
        {
            return [];
        }
    }

    protected static int? ReadNumber(string? line) =>
        int.TryParse(line, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var number) && number > 1 ? number : null;
}
