using Slipway.Bench;
using Slipway.Bench.Queues;

if (args is ["jobs", .. var forJobs])
{
    return await JobBenchCommand.RunAsync(forJobs);
}

var root = "";
var runs = 3;
var seconds = 3;
var keep = false;
HashSet<string> only = ["hit", "miss", "download", "small", "large"];
for (var at = 0; at < args.Length; at++)
{
    switch (args[at])
    {
        case "--root": root = args[++at]; break;
        case "--runs": runs = int.Parse(args[++at], System.Globalization.CultureInfo.InvariantCulture); break;
        case "--seconds": seconds = int.Parse(args[++at], System.Globalization.CultureInfo.InvariantCulture); break;
        case "--only": only = [.. args[++at].Split(',')]; break;
        case "--keep": keep = true; break;
        default:
            Console.Error.WriteLine($"bench/nix: unknown option {args[at]}. There are --runs N, --seconds N, --only hit,miss,download,small,large and --keep.");
            return 2;
    }
}

var folder = Directory.CreateTempSubdirectory("slipway-bench-").FullName;
// The server's PostgreSQL and nginx's worker run under accounts of their own and have to get in.
File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
try
{
    await using var server = await BenchedServer.StartAsync(root, folder);
    await using var nginx = await Nginx.StartAsync(folder);
    var reads = await new Reads(server, nginx, folder, runs, seconds).MeasureAsync(only.Contains);
    var pushes = new Pushes(server, nginx, root, folder, runs);
    var small = only.Contains("small") && Shell.Find("nix") is not null ? await pushes.MeasureSmallAsync() : [];
    var large = only.Contains("large") ? await pushes.MeasureLargeAsync() : null;
    Console.WriteLine(Report.Of(reads, small, large, runs));
    return 0;
}
finally
{
    if (keep)
    {
        Console.Error.WriteLine($"kept: {folder}");
    }
    else
    {
        Directory.Delete(folder, recursive: true);
    }
}
