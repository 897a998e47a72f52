using System.Text;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary>The terminal's other screen, drawn over and over; what was there before comes back at the end.</summary>
internal sealed class Screen : IDisposable
{
    private readonly CliEnvironment environment;

    public Screen(CliEnvironment environment)
    {
        this.environment = environment;
        environment.Out.Write("\e[?1049h\e[?25l\e[2J");
        environment.Out.Flush();
    }

    /// <summary>One write a frame, each line cut off behind its end, the rest cleared: nothing flickers and nothing stays.</summary>
    public void Draw(Func<int, int, IEnumerable<string>> lines)
    {
        var frame = new StringBuilder("\e[H");
        var height = WindowSize.Rows();
        foreach (var (at, line) in lines(environment.Width(), height).Take(height).Index())
        {
            frame.Append(at == 0 ? "" : "\n").Append(line).Append("\e[K");
        }

        environment.Out.Write(frame.Append("\e[J").ToString());
        environment.Out.Flush();
    }

    public void Draw(Action print)
    {
        environment.Out.Write("\e[H\e[J");
        print();
        environment.Out.Flush();
    }

    public void Dispose()
    {
        environment.Out.Write("\e[?25h\e[?1049l");
        environment.Out.Flush();
    }
}
