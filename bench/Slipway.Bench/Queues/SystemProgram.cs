using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace Slipway.Bench.Queues;

/// <summary>
/// The program of one system under test. It says <c>{"ready":true}</c> when it is connected, starts at a line on stdin, says how far it is
/// (a worker), stops when stdin is closed (a worker) or all is enqueued, and says its result as the last line.
/// </summary>
internal sealed class SystemProgram : IAsyncDisposable
{
    /// <summary>Ten times what the slowest start here needs (Celery, 3 s under load).</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>An enqueue says nothing before its end. Celery fills its queue of 50,000 in half a minute; four times that.</summary>
    private static readonly TimeSpan EnqueuePatience = TimeSpan.FromMinutes(2);

    private readonly Process process;
    private readonly StringBuilder errors = new();

    private readonly TimeSpan patience;

    private SystemProgram(Process process, string command)
    {
        this.process = process;
        patience = command == "enqueue" ? EnqueuePatience : Patience;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (errors)
            {
                // A program that complains about each job must not fill the memory.
                if (errors.Length < 8192)
                {
                    errors.AppendLine(line.Data);
                }
            }
        };
        process.BeginErrorReadLine();
    }

    /// <summary>Jobs that a worker has run so far.</summary>
    public long Done { get; private set; }

    /// <summary>The last line.</summary>
    public JsonObject Result { get; private set; } = [];

    /// <remarks>In a process group of its own, because the workers that RQ and Celery fork outlive a parent that crashes.</remarks>
    /// <param name="program">With its first arguments.</param>
    /// <param name="command">enqueue or work.</param>
    public static SystemProgram Start(IReadOnlyList<string> program, string folder, string command, IEnumerable<string> arguments) => new(
        Process.Start(new ProcessStartInfo("setsid", [.. program, command, .. arguments])
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!, command);

    public async Task UntilReadyAsync(CancellationToken cancellationToken)
    {
        if ((await ReadAsync(cancellationToken))?["ready"] is null)
        {
            throw Failure("did not get ready");
        }
    }

    public void Go()
    {
        process.StandardInput.WriteLine("go");
        process.StandardInput.Flush();
    }

    public void Stop() => process.StandardInput.Close();

    /// <summary>Reads one line of progress; false when the program has said its result and closed its output.</summary>
    public async Task<bool> AdvanceAsync(CancellationToken cancellationToken)
    {
        if (await ReadAsync(cancellationToken) is not { } line)
        {
            return false;
        }

        Done = line["done"]?.GetValue<long>() ?? Done;
        Result = line;
        return true;
    }

    public async Task UntilEndAsync(CancellationToken cancellationToken)
    {
        while (await AdvanceAsync(cancellationToken))
        {
        }

        await process.WaitForExitAsync(cancellationToken).WaitAsync(Patience, cancellationToken);
        if (process.ExitCode != 0 || Result.Count == 0)
        {
            throw Failure($"ended with {process.ExitCode}");
        }
    }

    public InvalidOperationException Failure(string what)
    {
        lock (errors)
        {
            return new InvalidOperationException($"{string.Join(' ', process.StartInfo.ArgumentList)} {what}. {errors}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
        }

        // Fails when nobody of the group is left, which is how it should be.
        using var kill = Process.Start(new ProcessStartInfo("kill", ["-KILL", "--", $"-{process.Id}"]) { RedirectStandardError = true })!;
        await kill.WaitForExitAsync(CancellationToken.None);
        process.Dispose();
    }

    private async Task<JsonObject?> ReadAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                var line = await process.StandardOutput.ReadLineAsync(cancellationToken).AsTask().WaitAsync(patience, cancellationToken);
                // Celery's worker prints a banner.
                if (line is null || line.StartsWith('{'))
                {
                    return line is null ? null : JsonNode.Parse(line)!.AsObject();
                }
            }
        }
        catch (TimeoutException)
        {
            throw Failure("fell silent");
        }
    }
}
