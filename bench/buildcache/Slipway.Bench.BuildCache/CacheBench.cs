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

    /// <summary>All rows of the first round together. Measured: after half a minute of load the runtime compiles no more.</summary>
    private const int WarmUpSeconds = 45;

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
            // Round 0 warms up, all rows before the first that counts: the server compiles its hot paths again for half a minute (see the README).
            var rows = Rows().Where(row => only.Contains(row.Group)).ToList();
            for (var round = 0; round <= rounds; round++)
            {
                await Console.Error.WriteLineAsync(round == 0 ? "warming up…" : $"round {round} of {rounds}…");
                foreach (var row in rows)
                {
                    foreach (var subject in subjects)
                    {
                        await MeasureAsync(row, subject, round == 0 ? Math.Max(seconds, WarmUpSeconds / rows.Count) : seconds, counts: round > 0);
                    }
                }
            }

            Console.WriteLine($"\n| call | {string.Join(" | ", subjects.Select(subject => $"{subject.Name}, server CPU | rate"))} | ratio |\n|---|{string.Concat(subjects.Select(_ => "--:|--:|"))}--:|");
            foreach (var row in rows)
            {
                Console.WriteLine(Line(row, subjects));
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

    private static IEnumerable<Row> Rows()
    {
        yield return new("ByteStream.Write, 1 kB", "write", "µs", (subject, seconds) => SmallAsync(subject, Stream + "Write", () => Upload(subject, subject.NextBlob()), 16, seconds));
        yield return new("the same, here already", "write", "µs", (subject, seconds) => SmallAsync(subject, Stream + "Write", () => Upload(subject, subject.OldBlob()), 16, seconds));
        yield return new("ByteStream.Read, 1 kB", "read", "µs", (subject, seconds) => SmallAsync(subject, Stream + "Read", () => Download(subject, subject.OldBlob()), 16, seconds));
        yield return new("ByteStream.Write, 1 kB, 100 streams", "streams", "µs", (subject, seconds) => SmallAsync(subject, Stream + "Write", () => Upload(subject, subject.NextBlob()), 100, seconds));
        yield return new("UpdateActionResult, 5 outputs", "action", "µs", (subject, seconds) => ActionAsync(subject, update: true, seconds));
        yield return new("GetActionResult, hit, 5 outputs", "action", "µs", (subject, seconds) => ActionAsync(subject, update: false, seconds));
        yield return new("BatchUpdateBlobs, 100 of 1 kB", "batch", "µs/blob", BatchUpdateAsync);
        yield return new("BatchReadBlobs, 100 of 1 kB", "batch", "µs/blob", BatchReadAsync);
        yield return new("FindMissingBlobs, 1,000", "missing", "µs/digest", FindMissingAsync);
        yield return new("ByteStream.Write, 8 MiB", "large", "ns/B", (subject, seconds) => LargeAsync(subject, write: true, seconds));
        yield return new("ByteStream.Read, 8 MiB", "large", "ns/B", (subject, seconds) => LargeAsync(subject, write: false, seconds));
    }

    private static async Task MeasureAsync(Row row, Subject subject, int seconds, bool counts)
    {
        var before = Cpu.Of(subject.Pid);
        var clock = Stopwatch.GetTimestamp();
        var items = await row.Measure(subject, seconds);
        var time = Stopwatch.GetElapsedTime(clock);
        if (counts)
        {
            row.Of(subject).Add(new((Cpu.Of(subject.Pid) - before) / items * (row.IsBytes ? 1e9 : 1e6), items / time.TotalSeconds));
        }
    }

    private static string Line(Row row, List<Subject> subjects)
    {
        var medians = subjects.Select(subject => Median(row.Of(subject).Select(one => one.Cpu))).ToArray();
        var columns = subjects.Select((subject, at) =>
        {
            var cpus = row.Of(subject).Select(one => one.Cpu).ToArray();
            var rate = Median(row.Of(subject).Select(one => one.Rate));
            return string.Create(CultureInfo.InvariantCulture,
                $"{medians[at]:0.0#} {row.Unit} ({cpus.Min():0.0#}–{cpus.Max():0.0#}) | {(row.IsBytes ? rate / 1e6 : rate):N0}{(row.IsBytes ? " MB/s" : "/s")}");
        });
        return $"| {row.Name} | {string.Join(" | ", columns)} | {(medians.Length > 1 ? (medians[1] / medians[0]).ToString("0.0", CultureInfo.InvariantCulture) + " ×" : "")} |";
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static async Task<long> SmallAsync(Subject subject, string path, Func<byte[]?> next, int inFlight, int seconds, bool all = false)
    {
        using var stop = new CancellationTokenSource(all ? TimeSpan.FromMinutes(2) : TimeSpan.FromSeconds(seconds));
        var loads = Enumerable.Range(0, 2).Select(_ => new LoadConnection(
            subject.Port, path, subject.Token is { } token ? ("authorization", "Bearer " + token) : null, () => next() is { } frame ? [frame] : null, inFlight / 2)).ToList();
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

    /// <summary>One line of the table: a call, how it is measured for a while (the items it did), and what came out.</summary>
    private sealed record Row(string Name, string Group, string Unit, Func<Subject, int, Task<long>> Measure)
    {
        private readonly Dictionary<string, List<Result>> results = [];

        public bool IsBytes => Unit == "ns/B";

        public List<Result> Of(Subject subject) => results.TryGetValue(subject.Name, out var list) ? list : results[subject.Name] = [];
    }

    private readonly record struct Result(double Cpu, double Rate);

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
