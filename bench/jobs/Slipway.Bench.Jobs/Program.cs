using Slipway.Bench.Jobs;

Func<BenchOptions, Task>? run = args is [var command, ..]
    ? command switch
    {
        "enqueue" => Producing.RunAsync,
        "work" => Working.RunAsync,
        "starvation" => Starving.RunAsync,
        "soak" => Soaking.RunAsync,
        _ => null,
    }
    : null;
if (run is null)
{
    Console.Error.WriteLine("Slipway.Bench.Jobs enqueue|work|starvation|soak --redis HOST:PORT …: see bench/jobs/README.md.");
    return 2;
}

await run(BenchOptions.Parse(args.AsSpan(1)));
return 0;
