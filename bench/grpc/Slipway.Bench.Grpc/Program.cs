using System.Diagnostics;
using System.Globalization;
using Slipway.Bench;
using Slipway.Bench.Grpc;

if (args is ["serve"])
{
    await BenchServer.RunAsync();
    return 0;
}

var seconds = 4;
var rounds = 3;
var inFlight = 16;
var connections = 2;
var only = "";
for (var at = 0; at < args.Length; at++)
{
    switch (args[at])
    {
        case "--seconds": seconds = Number(args[++at]); break;
        case "--rounds": rounds = Number(args[++at]); break;
        case "--in-flight": inFlight = Number(args[++at]); break;
        case "--connections": connections = Number(args[++at]); break;
        case "--only": only = args[++at]; break;
        default:
            Console.Error.WriteLine($"bench/grpc/run: unknown option {args[at]}. There are --seconds N, --rounds N, --in-flight N, --connections N and --only NAME.");
            return 2;
    }
}

using var server = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, ["serve"]) { RedirectStandardOutput = true, RedirectStandardInput = true })!;
var port = Number((await server.StandardOutput.ReadLineAsync())!);
byte[] small = [0, 0, 0, 0, 50, .. new byte[50]];
byte[] block = [0, 0, 0, 0x3f, 0xf0, .. new byte[0x3ff0]];
var rows = new (string Name, string Path, byte[][] Messages, string? Timeout)[]
{
    ("Kestrel alone, same bytes", "/bench.Bare/Unary", [small], null),
    ("unary", "/bench.Bench/Unary", [small], null),
    ("unary with a deadline", "/bench.Bench/Unary", [small], "60S"),
    ("client stream of one message", "/bench.Bench/Write", [small], null),
    ("the same with a deadline", "/bench.Bench/Write", [small], "60S"),
    ("server stream of one message", "/bench.Bench/Read", [small], "60S"),
    ("NOT_FOUND without a message", "/bench.Bench/Miss", [small], "60S"),
    ("upload, 256 KiB in 16 KiB messages", "/bench.Bench/Write", [.. Enumerable.Repeat(block, 16)], "60S"),
    ("download, 8 MiB in 16 KiB messages", "/bench.Bench/Download", [small], "60S"),
};
try
{
    Console.WriteLine($"{connections} connections, {inFlight} calls in flight together, {rounds} rounds of {seconds} s; median (lowest–highest)");
    Console.WriteLine($"{"",-36} {"server CPU/call",24} {"calls/s",10} {"kernel",8}");
    foreach (var row in rows.Where(row => row.Name.Contains(only, StringComparison.Ordinal)))
    {
        await LoadAsync(row.Path, row.Messages, row.Timeout, 2);
        var results = new List<(double Cpu, double Rate, double Kernel)>();
        for (var round = 0; round < rounds; round++)
        {
            results.Add(await LoadAsync(row.Path, row.Messages, row.Timeout, seconds));
        }

        results.Sort();
        var median = results[results.Count / 2];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{row.Name,-36} {median.Cpu,8:0.0} µs ({results[0].Cpu:0.0}–{results[^1].Cpu:0.0}) {median.Rate,12:0} {median.Kernel,6:0.0} µs"));
    }
}
finally
{
    server.StandardInput.Close();
    await server.WaitForExitAsync();
}

return 0;

async Task<(double Cpu, double Rate, double Kernel)> LoadAsync(string path, byte[][] messages, string? timeout, int forSeconds)
{
    using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(forSeconds));
    // An empty last frame, as clients of gRPC Java send it.
    byte[][] call = [.. messages, []];
    var header = timeout is null ? default((string, string)?) : ("grpc-timeout", timeout);
    var loads = Enumerable.Range(0, connections).Select(_ => new LoadConnection(port, path, header, () => call, inFlight / connections)).ToList();
    var clock = Stopwatch.GetTimestamp();
    var (userBefore, kernelBefore) = Cpu();
    await Task.WhenAll(loads.Select(load => Task.Run(() => load.RunAsync(stop.Token))));
    var (userAfter, kernelAfter) = Cpu();
    var done = loads.Sum(load => load.Done);
    return ((userAfter + kernelAfter - userBefore - kernelBefore) * 1e6 / done, done / Stopwatch.GetElapsedTime(clock).TotalSeconds, (kernelAfter - kernelBefore) * 1e6 / done);
}

(double User, double Kernel) Cpu()
{
    // Fields 14 and 15, in ticks of 10 ms, after the name in parentheses.
    var stat = File.ReadAllText($"/proc/{server.Id}/stat");
    var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
    return (Number(fields[11]) / 100.0, Number(fields[12]) / 100.0);
}

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
