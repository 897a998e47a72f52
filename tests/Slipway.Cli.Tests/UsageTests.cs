using System.CommandLine;
using System.Text.Json;
using Shouldly;
using Slipway.Cli.Shell;
using Xunit;

namespace Slipway.Cli.Tests;

public sealed class UsageTests
{
    [Theory]
    [InlineData("cach list", "did you mean cache?")]
    [InlineData("cache lits", "did you mean list?")]
    [InlineData("key issue x --scop a", "did you mean --scope?")]
    [InlineData("key issue", "NAME and --scope are missing")]
    [InlineData("cache create main --priority 4000", "--priority is a number from 0 to 1000")]
    [InlineData("org members role ada --role king", "--role is one of owner, admin, member, viewer")]
    [InlineData("login", "--user NAME or --token-stdin")]
    [InlineData("whoami --url ftp://x", "is not the URL of a server")]
    [InlineData("whoami --context nope", "there is no context \"nope\"")]
    [InlineData("cache show a/b/c", "write org/name")]
    [InlineData("cache list", "which org?")]
    public async Task A_wrong_command_line_exits_2_and_says_why_on_stderr_only(string line, string words)
    {
        using var cli = new CliRun();

        (await cli.RunAsync(line.Split(' '))).ShouldBe(ExitCodes.Usage);

        cli.Out.ShouldBeEmpty();
        cli.Error.ShouldStartWith("error[");
        cli.Error.ShouldContain(words);
    }

    [Fact]
    public async Task A_noun_alone_shows_its_verbs_on_stderr_and_exits_2()
    {
        using var cli = new CliRun();

        (await cli.RunAsync("cache")).ShouldBe(ExitCodes.Usage);

        cli.Out.ShouldBeEmpty();
        cli.Error.ShouldContain("key rotate");
    }

    [Fact]
    public async Task Help_names_every_command_and_goes_to_stdout()
    {
        using var cli = new CliRun();

        (await cli.RunAsync("--help")).ShouldBe(ExitCodes.Ok);

        cli.Error.ShouldBeEmpty();
        foreach (var noun in CommandTree.Nouns)
        {
            cli.Out.ShouldContain($"  {noun.Name} ");
        }
    }

    [Fact]
    public async Task Every_command_has_a_help_page()
    {
        using var cli = new CliRun();
        foreach (var verb in Meta.ListCommands.Verbs(CommandTree.BuildAll()))
        {
            var words = UsageErrors.PathOf(verb).Split(' ')[1..];

            (await cli.RunAsync([.. words, "--help"])).ShouldBe(ExitCodes.Ok);

            cli.Out.ShouldContain("Usage");
            cli.Out.ShouldContain(verb.Description!.Split(' ')[0]);
        }
    }

    [Fact]
    public async Task Help_lists_the_exit_codes()
    {
        using var cli = new CliRun();

        (await cli.RunAsync("help", "exit-codes")).ShouldBe(ExitCodes.Ok);

        cli.Out.ShouldContain("130\tstopped by Ctrl-C");
        cli.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(ExitCodes.All.Count);
    }

    [Fact]
    public async Task Commands_as_json_hold_the_whole_language()
    {
        using var cli = new CliRun();

        (await cli.RunAsync("commands", "--json")).ShouldBe(ExitCodes.Ok);

        using var document = JsonDocument.Parse(cli.Out);
        var names = document.RootElement.GetProperty("commands").EnumerateArray().Select(command => command.GetProperty("command").GetString()).ToList();
        names.ShouldContain("slipway cache key rotate");
        names.ShouldContain("slipway up");
        names.ShouldBeUnique();
    }

    [Theory]
    [InlineData("bash")]
    [InlineData("zsh")]
    [InlineData("fish")]
    public async Task Completion_scripts_know_nested_verbs(string shell)
    {
        using var cli = new CliRun();

        (await cli.RunAsync("completion", shell)).ShouldBe(ExitCodes.Ok);

        cli.Out.ShouldContain("rotate");
        cli.Out.ShouldContain("service-account");
    }

    [Fact]
    public async Task Colours_follow_the_terminal_and_the_variables()
    {
        using var cli = new CliRun();
        await cli.RunAsync("--help");
        cli.Out.ShouldNotContain("\e[");

        cli.Terminal = true;
        await cli.RunAsync("--help");
        cli.Out.ShouldContain("\e[");

        cli.Variables["NO_COLOR"] = "1";
        await cli.RunAsync("--help");
        cli.Out.ShouldNotContain("\e[");

        cli.Variables.Remove("NO_COLOR");
        cli.Variables["TERM"] = "dumb";
        await cli.RunAsync("--help");
        cli.Out.ShouldNotContain("\e[");

        cli.Terminal = false;
        cli.Variables["CLICOLOR_FORCE"] = "1";
        await cli.RunAsync("--help");
        cli.Out.ShouldContain("\e[");
    }

    [Fact]
    public void Every_verb_argument_and_option_says_what_it_is_for()
    {
        var mute = new List<string>();
        var verbs = 0;
        Look(CommandTree.BuildAll(), "slipway");
        verbs.ShouldBeGreaterThan(40);
        mute.ShouldBeEmpty("give it a description: it is all that --help can show");

        void Look(Command command, string path)
        {
            verbs += command is Verb ? 1 : 0;
            if (string.IsNullOrWhiteSpace(command.Description))
            {
                mute.Add(path);
            }

            mute.AddRange(command.Arguments.Where(argument => string.IsNullOrWhiteSpace(argument.Description)).Select(argument => $"{path} {argument.Name}"));
            mute.AddRange(command.Options.Where(option => string.IsNullOrWhiteSpace(option.Description)).Select(option => $"{path} {option.Name}"));
            foreach (var sub in command.Subcommands)
            {
                Look(sub, $"{path} {sub.Name}");
            }
        }
    }
}
