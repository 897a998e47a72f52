using System.CommandLine;
using System.Text;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Meta;

/// <summary>
/// <c>slipway completion bash|zsh|fish</c>: a static script made from the command tree. It never calls the program, so a Tab costs nothing.
/// </summary>
internal sealed class PrintCompletion : Verb
{
    private readonly Argument<string> shell;

    public PrintCompletion()
        : base("completion", "Completion script for bash, zsh or fish")
    {
        shell = Positional("SHELL", "bash, zsh or fish");
    }

    public override IReadOnlyList<string> Examples =>
    [
        "completion bash > ~/.local/share/bash-completion/completions/slipway",
        "completion zsh > ~/.zfunc/_slipway",
        "completion fish > ~/.config/fish/completions/slipway.fish",
    ];

    public override Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var root = CommandTree.BuildAll();
        run.Out.Write(run.Get(shell) switch
        {
            "bash" => Bash(root),
            "zsh" => $"#compdef slipway\nautoload -U +X bashcompinit && bashcompinit\n{Bash(root)}",
            "fish" => Fish(root),
            var other => throw CliFailure.Usage($"there is no completion for \"{other}\"", "slipway completion bash", "slipway completion zsh", "slipway completion fish"),
        });
        return Task.FromResult(ExitCodes.Ok);
    }

    private static IEnumerable<Command> All(Command command) => command.Subcommands.SelectMany(All).Prepend(command);

    private static string Words(Command command) => string.Join(
        ' ', command.Subcommands.Select(sub => sub.Name).Concat(command.Options.Concat(CommonOptions.All).Select(option => option.Name).Distinct(StringComparer.Ordinal)));

    private static string Bash(Command root)
    {
        var script = new StringBuilder();
        script.Append("""
            _slipway() {
              local current="${COMP_WORDS[COMP_CWORD]}" path="slipway" word words i
              for ((i = 1; i < COMP_CWORD; i++)); do
                word="${COMP_WORDS[i]}"
                [[ $word == -* ]] && continue
                case "$path $word" in
            """);
        script.Append('\n');
        foreach (var command in All(root).Where(command => command != root))
        {
            script.Append($"      \"{UsageErrors.PathOf(command)}\") path=\"$path $word\" ;;\n");
        }

        script.Append("    esac\n  done\n  case \"$path\" in\n");
        foreach (var command in All(root))
        {
            script.Append($"    \"{UsageErrors.PathOf(command)}\") words=\"{Words(command)}\" ;;\n");
        }

        script.Append("""
              esac
              COMPREPLY=($(compgen -W "$words" -- "$current"))
              if [[ ${#COMPREPLY[@]} -eq 0 ]]; then COMPREPLY=($(compgen -f -- "$current")); fi
            }
            complete -F _slipway slipway ./slipway
            """);
        return script.Append('\n').ToString();
    }

    private static string Fish(Command root)
    {
        var script = new StringBuilder("""
            function __slipway_at
              set -l words (commandline -opc | string match -v -- '-*')
              test "$words[2..-1]" = "$argv"
            end
            complete -c slipway -f
            """);
        script.Append('\n');
        foreach (var command in All(root))
        {
            var path = UsageErrors.PathOf(command)["slipway".Length..].TrimStart();
            foreach (var sub in command.Subcommands)
            {
                script.Append($"complete -c slipway -n '__slipway_at {path}' -a {sub.Name} -d '{Quoted(sub.Description)}'\n");
            }

            foreach (var option in command.Options.Where(option => command == root || !CommonOptions.All.Contains(option)))
            {
                var where = command == root ? "" : $" -n '__slipway_at {path}'";
                script.Append($"complete -c slipway{where} -l {option.Name.TrimStart('-')} -d '{Quoted(option.Description)}'{(option.HelpName is null ? "" : " -r")}\n");
            }
        }

        return script.ToString();
    }

    private static string Quoted(string? text) => (text ?? "").Replace("'", "\\'", StringComparison.Ordinal);
}
