using Slipway.Server.Commands;

var command = CommandLine.Parse(args);
if (command.Error is not null)
{
    Terminal.Error.Line($"{Terminal.Error.Red("error")}  {command.Error}");
    Terminal.Error.Line("       slipway up --help lists commands and flags");
    return 2;
}

if (command.Help)
{
    Terminal.Out.Line(CommandLine.Usage);
    return 0;
}

var environment = Environment.GetEnvironmentVariables().Keys.Cast<string>().ToDictionary(name => name, name => Environment.GetEnvironmentVariable(name) ?? "");
return command.Verb switch
{
    "config check" => ConfigCommands.Check(command, Terminal.Out, Terminal.Error),
    "config show" => ConfigCommands.Show(command, command.Load(environment), Terminal.Out, Terminal.Error),
    "config explain" => ConfigCommands.Explain(command, command.Load(environment), Terminal.Out, Terminal.Error),
    "up" => await UpCommand.RunAsync(command.Load(environment), environment),
    _ => PrintVersion(),
};

static int PrintVersion()
{
    Terminal.Out.Line($"slipway {typeof(CommandLine).Assembly.GetName().Version?.ToString(3)}");
    return 0;
}
