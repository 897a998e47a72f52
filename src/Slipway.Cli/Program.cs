using Slipway.Cli;
using Slipway.Cli.Shell;

// The version alone needs neither a parser nor a configuration.
if (args is ["version"] or ["--version"])
{
    Console.Out.WriteLine($"slipway {CliVersion.Text}");
    return ExitCodes.Ok;
}

using var interrupt = new Interrupt();
var environment = CliEnvironment.OfThisProcess();
try
{
    return await SlipwayCli.RunAsync(args, environment, interrupt.Token);
}
finally
{
    environment.Flush();
}
