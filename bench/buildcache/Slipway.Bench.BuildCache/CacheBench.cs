using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Slipway.Grpc;

namespace Slipway.Bench.BuildCache;

/// <summary>The published server, and a peer if there is one, under the calls that build tools make. One row a call, in turns.</summary>
internal static class CacheBench
{
    private const string Cas = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
    private const string Actions = "/build.bazel.remote.execution.v2.ActionCache/";
    private const string Stream = "/google.bytestream.ByteStream/";
    private const int LargeBytes = 8 << 20;

    public static async Task RunAsync(string root, string folder, string? peer, HashSet<string> only, int rounds, int seconds)
    {
        var grpc = Shell.FreePort();
        await using var server = await BenchedServer.StartAsync(root, folder, grpc);
        var key = await server.CreateBuildCacheAsync("main");
        List<Subject> subjects = [new("ours", grpc, key, "bench/main", server.Pid)];
        Process? casd = null;
        if (peer is not null)
        {
            var port = Shell.FreePort();
            casd = Shell.Start(peer, ["--bind", $"127.0.0.1:{port}", Path.Combine(folder, "casd")], Path.Combine(folder, "casd.log"));
            await Task.Delay(TimeSpan.FromSeconds(3));
            subjects.Add(new("buildbox-casd", port, null, "", casd.Id));
        }

        try
        {
            Console.WriteLine($"\n| call | {string.Join(" | ", subjects.Select(subject => $"{subject.Name}, server CPU | rate"))} | ratio |\n|---|{string.Concat(subjects.Select(_ => "--:|--:|"))}--:|");
            foreach (var (name, group, unit, measure) in Rows(seconds))
            {
                if (only.Contains(group))
                {
                    await MeasureAsync(name, unit, measure, subjects, rounds);
                }
            }
        }
        finally
        {
            if (casd is not null)
            {
                await Shell.StopAsync(casd);
            }
        }
    }

    private static IEnumerable<(string Name, string Group, string Unit, Func<Subject, Task<long>> Measure)> Rows(int seconds)
    {
        yield return ("ByteStream.Write, 1 kB", "write", "µs", subject => SmallAsync(subject, Stream + "Write", () => Upload(subject, subject.NextBlob()), 16, seconds));
        yield return ("the same, here already", "write", "µs", subject => SmallAsync(subject, Stream + "Write", () => Upload(subject, subject.OldBlob()), 16, seconds));
        yield return ("ByteStream.Read, 1 kB", "read", "µs", subject => SmallAsync(subject, Stream + "Read", () => Download(subject, subject.OldBlob()), 16, seconds));
        yield return ("ByteStream.Write, 1 kB, 100 streams", "streams", "µs", subject => SmallAsync(subject, Stream + "Write", () => Upload(subject, subject.NextBlob()), 50, seconds));
        yield return ("UpdateActionResult, 5 outputs", "action", "µs", subject => ActionAsync(subject, update: true, seconds));
        yield return ("GetActionResult, hit, 5 outputs", "action", "µs", subject => ActionAsync(subject, update: false, seconds));
        yield return ("BatchUpdateBlobs, 100 of 1 kB", "batch", "µs/blob", subject => BatchUpdateAsync(subject, seconds));
        yield return ("BatchReadBlobs, 100 of 1 kB", "batch", "µs/blob", subject => BatchReadAsync(subject, seconds));
        yield return ("FindMissingBlobs, 1,000", "missing", "µs/digest", subject => FindMissingAsync(subject, seconds));
        yield return ("ByteStream.Write, 8 MiB", "large", "ns/B", subject => LargeAsync(subject, write: true, seconds));
        yield return ("ByteStream.Read, 8 MiB", "large", "ns/B", subject => LargeAsync(subject, write: false, seconds));
    }

    private static async Task MeasureAsync(string name, string unit, Func<Subject, Task<long>> measure, List<Subject> subjects, int rounds)
    {
        var cpus = subjects.ToDictionary(subject => subject.Name, _ => new List<double>());
        var rates = subjects.ToDictionary(subject => subject.Name, _ => new List<double>());
        // Round 0 warms up. In turns, so that other work on the machine hits all of them.
        for (var round = 0; round <= rounds; round++)
        {
            foreach (var subject in subjects)
            {
                var before = Cpu.Of(subject.Pid);
                var clock = Stopwatch.GetTimestamp();
                var items = await measure(subject);
                var time = Stopwatch.GetElapsedTime(clock);
                if (round > 0)
                {
                    cpus[subject.Name].Add((Cpu.Of(subject.Pid) - before) / items * (unit == "ns/B" ? 1e9 : 1e6));
                    rates[subject.Name].Add(items / time.TotalSeconds);
                }
            }
        }

        var medians = subjects.Select(subject => Median(cpus[subject.Name])).ToArray();
        Console.WriteLine($"| {name} | " + string.Join(" | ", subjects.Select((subject, at) => string.Create(CultureInfo.InvariantCulture,
            $"{medians[at]:0.0#} {unit} ({cpus[subject.Name].Min():0.0#}–{cpus[subject.Name].Max():0.0#}) | {(unit == "ns/B" ? Median(rates[subject.Name]) / 1e6 : Median(rates[subject.Name])):N0}{(unit == "ns/B" ? " MB/s" : "/s")}")))
            + $" | {(medians.Length > 1 ? (medians[1] / medians[0]).ToString("0.0", CultureInfo.InvariantCulture) + " ×" : "")} |");
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static async Task<long> SmallAsync(Subject subject, string path, Func<byte[]?> next, int inFlight, int seconds, bool all = false)
    {
        using var stop = new CancellationTokenSource(all ? TimeSpan.FromMinutes(2) : TimeSpan.FromSeconds(seconds));
        var loads = Enumerable.Range(0, 2).Select(_ => new LoadConnection(subject.Port, path, subject.Token, next, inFlight / 2)).ToList();
        await Task.WhenAll(loads.Select(load => Task.Run(() => load.RunAsync(stop.Token))));
        var done = loads.Sum(load => load.Done);
        if (loads.Sum(load => load.Answered) < done)
        {
            throw new InvalidOperationException($"{subject.Name} {path}: {done - loads.Sum(load => load.Answered)} of {done} calls had no answer");
        }

        return done;
    }

    private static byte[] Upload(Subject subject, byte[] blob) => Wire.Framed(Wire.Message(to =>
    {
        to.Text(1, $"{subject.Prefix}uploads/{Guid.NewGuid()}/blobs/{Wire.Hash(blob)}/{blob.Length}");
        to.Number(3, 1);
        to.Bytes(10, blob);
    }));

    private static byte[] Download(Subject subject, byte[] blob) =>
        Wire.Framed(Wire.Message(to => to.Text(1, $"{subject.Prefix}blobs/{Wire.Hash(blob)}/{blob.Length}")));

    private static async Task<long> ActionAsync(Subject subject, bool update, int seconds)
    {
        // Every action has 5 outputs that are here.
        if (subject.Outputs is null)
        {
            var blobs = Enumerable.Range(0, 5).Select(_ => subject.NextBlob()).ToArray();
            var queue = new Queue<byte[]>(blobs.Select(blob => Upload(subject, blob)));
            await SmallAsync(subject, Stream + "Write", () => { lock (queue) { return queue.TryDequeue(out var next) ? next : null; } }, 2, seconds, all: true);
            subject.Outputs = blobs;
        }

        var result = Wire.Message(to =>
        {
            foreach (var (blob, at) in subject.Outputs.Select((blob, at) => (blob, at)))
            {
                to.Bytes(2, Wire.Message(file =>
                {
                    file.Text(1, $"bazel-out/k8-fastbuild/bin/pkg/output{at}.o");
                    file.Bytes(2, Wire.Digest(Wire.Hash(blob), blob.Length));
                }));
            }
        });
        return await SmallAsync(subject, Actions + (update ? "UpdateActionResult" : "GetActionResult"), () => Wire.Framed(Wire.Message(to =>
        {
            to.Text(1, subject.Instance);
            to.Bytes(2, Wire.Digest(Wire.Hash(BitConverter.GetBytes(update ? subject.NextAction() : subject.OldAction())), 140));
            if (update)
            {
                to.Bytes(3, result);
            }
        })), 16, seconds);
    }

    private static async Task<long> BatchUpdateAsync(Subject subject, int seconds) => 100 * await CallsAsync(subject, Cas + "BatchUpdateBlobs", () => Wire.Message(to =>
    {
        to.Text(1, subject.Instance);
        for (var i = 0; i < 100; i++)
        {
            var blob = subject.NextBlob();
            to.Bytes(2, Wire.Message(item =>
            {
                item.Bytes(1, Wire.Digest(Wire.Hash(blob), blob.Length));
                item.Bytes(2, blob);
            }));
        }
    }), seconds);

    private static async Task<long> BatchReadAsync(Subject subject, int seconds) => 100 * await CallsAsync(subject, Cas + "BatchReadBlobs", () => Wire.Message(to =>
    {
        to.Text(1, subject.Instance);
        for (var i = 0; i < 100; i++)
        {
            var blob = subject.OldBlob();
            to.Bytes(2, Wire.Digest(Wire.Hash(blob), blob.Length));
        }
    }), seconds);

    private static async Task<long> FindMissingAsync(Subject subject, int seconds)
    {
        var requests = Enumerable.Range(0, 8).Select(_ => Wire.Message(to =>
        {
            to.Text(1, subject.Instance);
            for (var i = 0; i < 1_000; i++)
            {
                var blob = i % 2 == 0 ? subject.OldBlob() : subject.AbsentBlob();
                to.Bytes(2, Wire.Digest(Wire.Hash(blob), blob.Length));
            }
        })).ToArray();
        return 1_000 * await CallsAsync(subject, Cas + "FindMissingBlobs", () => requests[Random.Shared.Next(8)], seconds);
    }

    private static async Task<long> CallsAsync(Subject subject, string path, Func<byte[]> next, int seconds)
    {
        using var channel = subject.Open();
        var until = Stopwatch.GetTimestamp() + (seconds * Stopwatch.Frequency);
        var calls = 0L;
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            while (Stopwatch.GetTimestamp() < until)
            {
                await channel.UnaryAsync(path, next(), subject.Options, CancellationToken.None);
                Interlocked.Increment(ref calls);
            }
        })));
        return calls;
    }

    private static async Task<long> LargeAsync(Subject subject, bool write, int seconds)
    {
        using var channel = subject.Open();
        var until = Stopwatch.GetTimestamp() + (seconds * Stopwatch.Frequency);
        var bytes = 0L;
        var first = true;
        while (first || Stopwatch.GetTimestamp() < until)
        {
            first = false;
            if (write)
            {
                RandomNumberGenerator.Fill(subject.Large.AsSpan(0, 64));
                var name = $"{subject.Prefix}uploads/{Guid.NewGuid()}/blobs/{Wire.Hash(subject.Large)}/{LargeBytes}";
                await using var call = channel.Streaming(Stream + "Write", subject.Options, CancellationToken.None);
                // As Bazel does: messages of 16 KiB.
                for (var at = 0; at < LargeBytes; at += 16 << 10)
                {
                    await call.WriteAsync(Wire.Message(to =>
                    {
                        if (at == 0)
                        {
                            to.Text(1, name);
                        }

                        to.Number(2, at);
                        to.Number(3, at + (16 << 10) == LargeBytes ? 1 : 0);
                        to.Bytes(10, subject.Large.AsSpan(at, 16 << 10));
                    }));
                }

                await call.CompleteAsync();
                await call.ReadSingleAsync();
                bytes += LargeBytes;
            }
            else
            {
                var name = $"{subject.Prefix}blobs/{Wire.Hash(subject.Large)}/{LargeBytes}";
                await using var call = channel.ServerStreaming(Stream + "Read", Wire.Message(to => to.Text(1, name)), subject.Options, CancellationToken.None);
                while (await call.ReadAsync() is { } message)
                {
                    bytes += message.Length;
                }
            }
        }

        return bytes;
    }

    /// <summary>A server under load, and what was put into it.</summary>
    private sealed record Subject(string Name, int Port, string? Token, string Instance, int Pid)
    {
        private const int BlobBytes = 1_000;

        private int blobs;
        private int actions;

        public string Prefix => Instance.Length == 0 ? "" : Instance + "/";

        public byte[][]? Outputs { get; set; }

        public byte[] Large { get; } = RandomNumberGenerator.GetBytes(LargeBytes);

        public GrpcCallOptions Options { get; } = new() { Metadata = Token is null ? [] : [new("authorization", $"Bearer {Token}")] };

        public GrpcChannel Open() => new(new Uri($"http://127.0.0.1:{Port}"));

        public byte[] NextBlob() => Blob(Interlocked.Increment(ref blobs));

        public byte[] OldBlob() => Blob(1 + Random.Shared.Next(Math.Min(2_000, blobs - 100)));

        public byte[] AbsentBlob() => Blob(-1 - Random.Shared.Next(1 << 20));

        public int NextAction() => Interlocked.Increment(ref actions);

        public int OldAction() => 1 + Random.Shared.Next(Math.Min(2_000, actions - 100));

        private static byte[] Blob(int number)
        {
            var blob = new byte[BlobBytes];
            new Random(number).NextBytes(blob);
            return blob;
        }
    }
}
