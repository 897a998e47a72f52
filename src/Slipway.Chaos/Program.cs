using System.Runtime.InteropServices;
using Slipway.Chaos.Reports;
using Slipway.Chaos.Roles;
using Slipway.Chaos.Scenarios;

// The matrix, or one of the roles that the matrix starts as processes of their own.
switch (args)
{
    case ["worker", var settings]:
        return await WorkerRole.RunAsync(settings);
    case ["producer", var settings]:
        return await ProducerRole.RunAsync(settings);
    case ["--help" or "-h", ..]:
        Console.WriteLine(ChaosOptions.Usage);
        return 0;
}

ChaosOptions options;
try
{
    options = ChaosOptions.Parse(args);
}
catch (ArgumentException e)
{
    await Console.Error.WriteLineAsync($"slipway jobs chaos: {e.Message}\n\n{ChaosOptions.Usage}");
    return 2;
}

if (options.ListOnly)
{
    foreach (Scenario scenario in ScenarioTable.All)
    {
        Console.WriteLine($"{scenario.Id,-8} {(scenario.Quick ? "quick" : ""),-6} {scenario.Where,-12} {scenario.Title}");
    }

    return 0;
}

using var interrupted = new CancellationTokenSource();
void Interrupt(PosixSignalContext signal)
{
    signal.Cancel = true;
    interrupted.Cancel();
}

using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
try
{
    // JSON on the standard output leaves the words to the other one.
    TextWriter words = options.JsonFile == "-" ? Console.Error : Console.Out;
    ChaosResult result = await ChaosRun.RunAsync(options, words, interrupted.Token);
    await ReportFiles.WriteAsync(options, result, CancellationToken.None);
    await words.WriteLineAsync($"\n{result.Scenarios.Count(one => one.Passed)} passed, {result.Scenarios.Count(one => !one.Passed)} failed, {result.AimsMissed} aims of speed missed ({result.Seconds:0} s, seed {result.Seed})");
    return result.Passed ? 0 : 1;
}
catch (OperationCanceledException) when (interrupted.IsCancellationRequested)
{
    return 130;
}
