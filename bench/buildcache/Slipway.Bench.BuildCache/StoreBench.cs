using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Content;

namespace Slipway.Bench.BuildCache;

/// <summary>The store in this process: what a blob costs in time and memory at 5,000 and at millions, and how long a restart takes.</summary>
internal static class StoreBench
{
    private const int BlobBytes = 100;

    public static async Task RunAsync(string folder, int blobs)
    {
        Console.WriteLine($"\n| store, blobs of {BlobBytes} bytes, one thread | at 5,000 | at {blobs.ToString("N0", CultureInfo.InvariantCulture)} |\n|---|--:|--:|");
        var storeId = Guid.NewGuid();
        var owner = Guid.NewGuid();
        var before = Memory();
        var stores = New();
        await stores.OpenAsync(storeId, folder, default);
        var space = stores.Segments(storeId).Space(owner);
        await stores.Segments(storeId).Loaded;
        var rows = new Dictionary<string, List<string>>();
        await FillAsync(space, 0, 5_000);
        await MeasureAsync(space, 5_000, rows);
        var clock = Stopwatch.GetTimestamp();
        await FillAsync(space, 5_000 + 10_000, blobs);
        var filling = Stopwatch.GetElapsedTime(clock);
        await MeasureAsync(space, blobs, rows);
        foreach (var (name, values) in rows)
        {
            Console.WriteLine($"| {name} | {string.Join(" | ", values)} |");
        }

        GC.Collect();
        var memory = Memory() - before;
        var perFsync = await SyncedAsync(space, blobs + 20_000);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"\nput {filling.TotalMicroseconds / (blobs - 15_000):0.00} µs a blob over the whole fill; durable puts (64 at a time, one fsync for all who wait): {perFsync:0.0} µs each; memory above an empty process: {memory / 1e6:0} MB, {(double)memory / space.Usage.Blobs:0.0} bytes a blob"));

        clock = Stopwatch.GetTimestamp();
        await stores.DisposeAsync();
        var closing = Stopwatch.GetElapsedTime(clock);
        await RestartAsync("restart after a stop", storeId, folder, owner, blobs);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"stop (writes the index): {closing.TotalSeconds:0.00} s"));
        // As if it had never been written: every footer is replayed.
        Directory.Delete(Path.Combine(folder, "index"), recursive: true);
        await RestartAsync("restart with the index lost", storeId, folder, owner, blobs);
    }

    private static async Task RestartAsync(string what, Guid storeId, string folder, Guid owner, int blobs)
    {
        var clock = Stopwatch.GetTimestamp();
        await using var stores = New();
        await stores.OpenAsync(storeId, folder, default);
        var first = Stopwatch.GetElapsedTime(clock);
        await stores.Segments(storeId).Loaded;
        var all = Stopwatch.GetElapsedTime(clock);
        var found = stores.Segments(storeId).Space(owner).Usage.Blobs;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{what}: serves after {first.TotalSeconds:0.000} s, complete after {all.TotalSeconds:0.00} s ({found:N0} blobs; {all.TotalSeconds * 10e6 / blobs:0.00} s per 10 million)"));
    }

    private static async Task FillAsync(ContentSpace space, int from, int to)
    {
        var bytes = new byte[BlobBytes];
        for (var at = from; at < to; at++)
        {
            var key = KeyOf(at, bytes);
            await space.PutAsync(key, bytes, BlobCodec.Raw, BlobBytes, Durability.Written, default);
        }
    }

    private static async Task MeasureAsync(ContentSpace space, int blobs, Dictionary<string, List<string>> rows)
    {
        const int count = 10_000;
        var random = new Random(1);
        var present = Enumerable.Range(0, count).Select(_ => KeyOf(random.Next(Math.Min(blobs, 5_000)) , new byte[BlobBytes])).ToArray();
        var spread = Enumerable.Range(0, count).Select(_ => KeyOf(Pick(random, blobs), new byte[BlobBytes])).ToArray();
        var absent = Enumerable.Range(0, count).Select(at => KeyOf(-1 - at, new byte[BlobBytes])).ToArray();
        var buffer = new byte[BlobBytes];
        Array.ForEach(present, key => space.Touch(key, BlobBytes));
        Add("Touch, present", Time(() => Array.ForEach(spread, key => space.Touch(key, BlobBytes))));
        Add("Touch, absent", Time(() => Array.ForEach(absent, key => space.Touch(key, BlobBytes))));
        var clock = Stopwatch.GetTimestamp();
        foreach (var key in spread)
        {
            if (!space.TryFind(key, out var info) || !await space.ReadAsync(info, buffer, default))
            {
                throw new InvalidOperationException($"{key} is not there");
            }
        }

        Add("read, checksum checked", Stopwatch.GetElapsedTime(clock));
        var start = blobs == 5_000 ? 5_000 : blobs;
        var keys = Enumerable.Range(start, count).Select(at => KeyOf(at, new byte[BlobBytes])).ToArray();
        clock = Stopwatch.GetTimestamp();
        foreach (var key in keys)
        {
            await space.PutAsync(key, buffer, BlobCodec.Raw, BlobBytes, Durability.Written, default);
        }

        Add("put", Stopwatch.GetElapsedTime(clock));

        void Add(string name, TimeSpan time)
        {
            if (!rows.TryGetValue(name, out var values))
            {
                rows[name] = values = [];
            }

            values.Add(string.Create(CultureInfo.InvariantCulture, $"{time.TotalMicroseconds / count:0.00} µs"));
        }
    }

    private static int Pick(Random random, int blobs)
    {
        int at;
        do
        {
            at = random.Next(blobs);
        }
        while (at is >= 5_000 and < 15_000);
        return at;
    }

    private static async Task<double> SyncedAsync(ContentSpace space, int from)
    {
        const int each = 200;
        var clock = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, 64).Select(client => Task.Run(async () =>
        {
            var bytes = new byte[BlobBytes];
            for (var at = 0; at < each; at++)
            {
                await space.PutAsync(KeyOf(from + (client * each) + at, bytes), bytes, BlobCodec.Raw, BlobBytes, Durability.Synced, default);
            }
        })));
        return Stopwatch.GetElapsedTime(clock).TotalMicroseconds / (64 * each);
    }

    // The store believes its callers about hashes: making 5 million real ones would measure SHA-256.
    private static BlobKey KeyOf(int at, byte[] bytes)
    {
        BitConverter.TryWriteBytes(bytes, at);
        Span<byte> hash = stackalloc byte[32];
        MD5.HashData(bytes.AsSpan(0, 4), hash);
        MD5.HashData(hash[..16], hash[16..]);
        return new BlobKey(BlobKind.Sha256, Digest.FromBytes(hash));
    }

    private static TimeSpan Time(Action action)
    {
        var clock = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(clock);
    }

    private static long Memory() => Environment.WorkingSet;

    private static ContentStores New() => new(new ContentStoreOptions(), TimeProvider.System, NullLogger<ContentStores>.Instance);
}
