using System.Globalization;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary>One line on a terminal for a transfer that takes more than a moment: <c>74 %  1.4 GiB of 1.9 GiB  184 MiB/s</c>. Nothing elsewhere.</summary>
internal sealed class TransferProgress(Terminal terminal, long total)
{
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(200);

    /// <summary>What is over sooner needs no line.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(800);

    private readonly long started = terminal.Environment.Time.GetTimestamp();
    private long bytes;

    public long Bytes => Interlocked.Read(ref bytes);

    public void Add(int more) => Interlocked.Add(ref bytes, more);

    public async Task ShowWhileAsync(Task work)
    {
        var time = terminal.Environment.Time;
        if (terminal.Quiet || !terminal.Environment.ErrorIsTerminal || terminal.Environment.Variable("TERM") == "dumb")
        {
            await work;
            return;
        }

        using var timer = new PeriodicTimer(Redraw, time);
        var drawn = false;
        var tick = timer.WaitForNextTickAsync().AsTask();
        while (await Task.WhenAny(work, tick) != work)
        {
            if (time.GetElapsedTime(started) >= Patience)
            {
                drawn = true;
                terminal.Environment.Error.Write($"\r{Line(time.GetElapsedTime(started))}\e[K");
            }

            tick = timer.WaitForNextTickAsync().AsTask();
        }

        if (drawn)
        {
            terminal.Environment.Error.Write("\r\e[K");
        }

        await work;
    }

    private string Line(TimeSpan elapsed)
    {
        var done = Bytes;
        return string.Create(
            CultureInfo.InvariantCulture, $"{(total == 0 ? 100 : 100 * done / total),3} %  {Figures.Bytes(done)} of {Figures.Bytes(total)}  {Figures.Bytes(done / elapsed.TotalSeconds)}/s");
    }
}
