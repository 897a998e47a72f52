using Slipway.Cli.Shell;
using Slipway.Testing;
using Xunit;

namespace Slipway.Cli.Tests;

/// <summary>One user of the program: a home, an environment, and what came of the last command.</summary>
internal sealed class CliRun : IDisposable
{
    private readonly TempFolder home = new();

    public Dictionary<string, string> Variables { get; } = new(StringComparer.Ordinal) { ["PATH"] = "/usr/bin:/bin", ["TERM"] = "xterm" };

    public bool Terminal { get; set; }

    public string Input { get; set; } = "";

    public string Out { get; private set; } = "";

    public string Error { get; private set; } = "";

    public string ConfigFolder => Path.Combine(home.Path, ".config");

    public string HomeFile(string path) => home.File(path);

    public async Task<int> RunAsync(params string[] args)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        var environment = new CliEnvironment
        {
            Out = output,
            Error = error,
            In = new StringReader(Input),
            OpenIn = () => new MemoryStream(System.Text.Encoding.UTF8.GetBytes(Input)),
            OutIsTerminal = Terminal,
            ErrorIsTerminal = Terminal,
            InIsTerminal = Terminal,
            Width = () => 100,
            Variable = name => name == "HOME" ? home.Path : Variables.GetValueOrDefault(name),
            ReadHidden = () => Input,
            ServiceDataFolder = home.File("service"),
        };
        var exit = await SlipwayCli.RunAsync(args, environment, TestContext.Current.CancellationToken);
        (Out, Error) = (output.ToString(), error.ToString());
        return exit;
    }

    public void Dispose() => home.Dispose();
}
