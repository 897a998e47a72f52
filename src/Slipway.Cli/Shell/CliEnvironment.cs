using System.Text;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Shell;

/// <summary>All the program sees of the world around it, so that a test can be that world.</summary>
internal sealed class CliEnvironment
{
    public required TextWriter Out { get; init; }

    public required TextWriter Error { get; init; }

    public required TextReader In { get; init; }

    /// <summary>The same input as bytes: for what must arrive as it is. Only one of the two is used in a run.</summary>
    public Func<Stream> OpenIn { get; init; } = Console.OpenStandardInput;

    public required bool OutIsTerminal { get; init; }

    public required bool ErrorIsTerminal { get; init; }

    public required bool InIsTerminal { get; init; }

    /// <summary>Columns of the terminal, asked each time: windows are resized.</summary>
    public required Func<int> Width { get; init; }

    /// <summary>An environment variable, null when unset or empty.</summary>
    public required Func<string, string?> Variable { get; init; }

    /// <summary>Reads one line without showing it; null at the end of input.</summary>
    public required Func<string?> ReadHidden { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>The folder for this user's settings of <paramref name="program"/>: <c>$XDG_CONFIG_HOME/program</c>.</summary>
    public string ConfigFolder(string program) =>
        Path.Combine(Variable("XDG_CONFIG_HOME") is { } xdg && Path.IsPathRooted(xdg) ? xdg : Path.Combine(Home, ".config"), program);

    /// <summary>Where a server that runs as a system service keeps its data.</summary>
    public string ServiceDataFolder { get; init; } = "/var/lib/slipway";

    public string Home => Variable("HOME") ?? "/";

    /// <summary>The first executable file of that name in <c>PATH</c>.</summary>
    public string? FindProgram(string name)
    {
        foreach (var folder in (Variable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries))
        {
            var file = Path.Combine(folder, name);
            if (File.Exists(file) && (File.GetUnixFileMode(file) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0)
            {
                return file;
            }
        }

        return null;
    }

    public void Flush()
    {
        try
        {
            Out.Flush();
        }
        catch (IOException)
        {
            // The reader of the pipe left (`slipway … | head`): nobody is there to be told.
        }

        Error.Flush();
    }

    public static CliEnvironment OfThisProcess()
    {
        var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        return new CliEnvironment
        {
            Out = new StreamWriter(Console.OpenStandardOutput(), utf8, bufferSize: 16 * 1024) { AutoFlush = false },
            Error = new StreamWriter(Console.OpenStandardError(), utf8, bufferSize: 1024) { AutoFlush = true },
            In = new Lazily(static () => Console.In),
            OutIsTerminal = !Console.IsOutputRedirected,
            ErrorIsTerminal = !Console.IsErrorRedirected,
            InIsTerminal = !Console.IsInputRedirected,
            Width = WindowSize.Columns,
            Variable = static name => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null,
            ReadHidden = HiddenLine.Read,
        };
    }

    /// <summary>Console.In sets the terminal up, which most commands never need.</summary>
    private sealed class Lazily(Func<TextReader> open) : TextReader
    {
        private readonly Lazy<TextReader> reader = new(open);

        public override int Peek() => reader.Value.Peek();

        public override int Read() => reader.Value.Read();

        public override int Read(char[] buffer, int index, int count) => reader.Value.Read(buffer, index, count);

        public override string? ReadLine() => reader.Value.ReadLine();

        public override string ReadToEnd() => reader.Value.ReadToEnd();
    }
}
