using System.Globalization;
using System.Text;
using Slipway.Cli.Nix;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Push;

/// <summary>
/// How far a push is. On a terminal two lines are redrawn in place:
/// <code>
/// ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  74 %   1.4 GiB of 1.9 GiB   184 MiB/s          3 s left
/// 1,204 of 2,001 paths  glibc-2.35-224
/// </code>
/// elsewhere a plain line comes every ten seconds.
/// </summary>
internal sealed class PushProgress(Terminal terminal, long totalBytes, int totalPaths, int bundles)
{
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Measuring = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan PlainEvery = TimeSpan.FromSeconds(10);

    /// <summary>
    /// What a path costs beside its bytes, in bytes: on a busy two-core machine 2,001 tiny paths took 4.4 s and one path of 394 MiB 22 s,
    /// which makes 40 KiB. One sample each; it only has to keep the bar honest.
    /// </summary>
    private const long PathCost = 40 << 10;

    private const int LeastBar = 10;
    private const int MostBar = 40;

    /// <summary><c>  99.9 MiB/s</c> and <c>  59 min 59 s left</c>.</summary>
    private const int RateWidth = 12;
    private const int LeftWidth = 18;

    private readonly long started = terminal.Environment.Time.GetTimestamp();
    private readonly Rate rate = new(TimeSpan.FromSeconds(3));
    private readonly Rate steadyRate = new(TimeSpan.FromSeconds(15));
    private TimeSpan figuresAt = TimeSpan.MinValue;
    private string rateShown = "";
    private string leftShown = "";
    private long bytes;
    private int paths;
    private int bundlesDone;
    private string current = "";
    private string? trouble;
    private int drawnLines;

    public void Reading(PathInfo path)
    {
        Volatile.Write(ref current, path.StorePath[(StorePathName.StoreFolder.Length + StorePathName.HashLength + 1)..]);
        Volatile.Write(ref trouble, null);
    }

    public void Add(long moreBytes, int morePaths)
    {
        Interlocked.Add(ref bytes, moreBytes);
        Interlocked.Add(ref paths, morePaths);
    }

    public void BundleDone() => Interlocked.Increment(ref bundlesDone);

    public void Retrying(int attempt, int most) =>
        Volatile.Write(ref trouble, string.Create(CultureInfo.InvariantCulture, $"connection lost, going on where it broke (try {attempt + 1} of {most})"));

    public TimeSpan Elapsed => terminal.Environment.Time.GetElapsedTime(started);

    /// <summary>Draws until <paramref name="work"/> ends, and leaves a clean line behind.</summary>
    public async Task ShowWhileAsync(Task work)
    {
        if (terminal.Quiet)
        {
            await work;
            return;
        }

        var live = terminal.Environment.ErrorIsTerminal && terminal.Environment.Variable("TERM") != "dumb";
        using var timer = new PeriodicTimer(live ? Redraw : PlainEvery, terminal.Environment.Time);
        var tick = timer.WaitForNextTickAsync().AsTask();
        try
        {
            if (live)
            {
                Draw();
            }

            while (await Task.WhenAny(work, tick) != work)
            {
                if (live)
                {
                    Draw();
                }
                else
                {
                    terminal.Environment.Error.WriteLine(PlainLine());
                }

                tick = timer.WaitForNextTickAsync().AsTask();
            }
        }
        finally
        {
            Erase();
        }

        await work;
    }

    public string PlainLine()
    {
        var done = Interlocked.Read(ref bytes);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Figures.Bytes(done)} of {Figures.Bytes(totalBytes)} ({Percent(done)} %), {Figures.Bytes(rate.At(Elapsed, done))}/s, {Figures.Count(paths)} of {Figures.Count(totalPaths)} paths");
    }

    /// <summary>Both lines, without the codes that move the cursor.</summary>
    public (string First, string Second) Lines(int width)
    {
        var style = terminal.ErrorStyle;
        var done = Interlocked.Read(ref bytes);
        var allRead = done >= totalBytes;
        Measure(done);
        // Every figure has a column of its own width, so that nothing moves when it changes; what has no room is left out.
        var figures = string.Create(CultureInfo.InvariantCulture, $"{Percent(done),4} %  {Figures.Bytes(done),8} of {Figures.Bytes(totalBytes)}");
        var room = Math.Clamp(width - figures.Length - RateWidth - LeftWidth - 1, LeastBar, MostBar);
        foreach (var (text, columns) in ((string, int)[])[(rateShown, RateWidth), (allRead ? "" : leftShown, LeftWidth)])
        {
            if (room + figures.Length + columns < width)
            {
                figures += text.PadLeft(columns);
            }
        }

        var filled = (int)(room * Share(done));
        var bar = style.Cyan(new string('━', filled)) + style.Dim(new string('╌', room - filled));

        var count = $"{Figures.Count(paths)} of {Figures.Count(totalPaths, "path")}";
        var doing = Volatile.Read(ref trouble) is { } problem ? problem
            : allRead ? string.Create(CultureInfo.InvariantCulture, $"the server checks and signs, {bundlesDone} of {bundles} archives done")
            : Volatile.Read(ref current);
        var space = Math.Max(0, width - count.Length - 3);
        doing = Printable.Text(doing.Length <= space ? doing : string.Concat(doing.AsSpan(0, Math.Max(0, space - 1)), "…"));
        return (bar + figures.TrimEnd(), $"{style.Bold(count)}  {(trouble is null ? style.Dim(doing) : style.Yellow(doing))}");
    }

    /// <summary>Twice a second: figures that change with every frame can't be read.</summary>
    private void Measure(long done)
    {
        var now = Elapsed;
        if (figuresAt != TimeSpan.MinValue && now - figuresAt < Measuring)
        {
            return;
        }

        figuresAt = now;
        var speed = rate.At(now, done);
        var steady = steadyRate.At(now, Work(done));
        rateShown = speed > 0 ? $"{Figures.Bytes(speed)}/s" : "";
        leftShown = steady > 0 ? $"{Figures.Duration(TimeSpan.FromSeconds(Math.Clamp(Math.Ceiling((TotalWork - Work(done)) / steady), 1, 359_999)), wholeSeconds: true)} left" : "";
    }

    private int Percent(long done) => (int)(100 * Share(done));

    private long TotalWork => totalBytes + (PathCost * totalPaths);

    private double Share(long done) => TotalWork == 0 ? 1 : Math.Clamp(Work(done) / (double)TotalWork, 0, 1);

    private long Work(long done) => done + (PathCost * Volatile.Read(ref paths));

    private void Draw()
    {
        var (first, second) = Lines(terminal.Environment.Width());
        var frame = new StringBuilder();
        Home(frame);
        // One write a frame, each line cut off behind its end: no flicker, and nothing of the longer line before stays.
        frame.Append(first).Append("\e[K\n").Append(second).Append("\e[K");
        terminal.Environment.Error.Write(frame.ToString());
        drawnLines = 2;
    }

    private void Erase()
    {
        if (drawnLines > 0)
        {
            var frame = new StringBuilder();
            Home(frame);
            terminal.Environment.Error.Write(frame.Append("\e[J").ToString());
            drawnLines = 0;
        }
    }

    private void Home(StringBuilder frame)
    {
        if (drawnLines > 0)
        {
            frame.Append("\r\e[1A");
        }
    }

    /// <summary>Bytes a second over the last while: a short one notices a stall, a long one is steady.</summary>
    internal sealed class Rate(TimeSpan window)
    {
        private readonly Queue<(TimeSpan At, long Bytes)> samples = new();

        public double At(TimeSpan now, long bytes)
        {
            samples.Enqueue((now, bytes));
            while (samples.Count > 2 && now - samples.Peek().At > window)
            {
                samples.Dequeue();
            }

            var (since, before) = samples.Peek();
            return now > since ? Math.Max(0, (bytes - before) / (now - since).TotalSeconds) : now > TimeSpan.Zero ? bytes / now.TotalSeconds : 0;
        }
    }
}
