using System.Globalization;
using Slipway.Bench.BuildCache;

var root = "";
var rounds = 3;
var seconds = 3;
var blobs = 5_000_000;
string? peer = null;
HashSet<string> only = ["store", "write", "read", "batch", "missing", "action", "large", "streams"];
for (var at = 0; at < args.Length; at++)
{
    switch (args[at])
    {
        case "--root": root = args[++at]; break;
        case "--rounds": rounds = Number(args[++at]); break;
        case "--seconds": seconds = Number(args[++at]); break;
        case "--blobs": blobs = Number(args[++at]); break;
        case "--peer": peer = args[++at]; break;
        case "--only": only = [.. args[++at].Split(',')]; break;
        default:
            Console.Error.WriteLine($"bench/buildcache/run: unknown option {args[at]}. There are --only NAMES, --rounds N, --seconds N, --blobs N and --peer PROGRAM.");
            return 2;
    }
}

var folder = Directory.CreateTempSubdirectory("slipway-bench-").FullName;
// The server's PostgreSQL runs under an account of its own and has to get in.
File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
try
{
    if (only.Remove("store"))
    {
        await StoreBench.RunAsync(Path.Combine(folder, "store"), blobs);
    }

    if (only.Count > 0)
    {
        await CacheBench.RunAsync(root, folder, peer, only, rounds, seconds);
    }

    return 0;
}
finally
{
    Directory.Delete(folder, recursive: true);
}

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
