using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Api;
using Slipway.Cli.Nix;
using Slipway.Cli.Push;
using Slipway.Native;
using Slipway.Testing;
using Xunit;

namespace Slipway.Cli.Tests;

public sealed class PushTests : IDisposable
{
    private const string Nix32 = "0123456789abcdfghijklmnpqrsvwxyz";

    private readonly TempFolder folder = new();

    public void Dispose() => folder.Dispose();

    private static string PathOf(int number) => $"/nix/store/{new string(Nix32[number / 32], 31)}{Nix32[number % 32]}-path-{number}";

    private static PathInfo Info(int number, long size = 1000, params int[] references) =>
        new(PathOf(number), "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73", size, [.. references.Select(PathOf)], null, null, []);

    private static HashSet<string> Hashes(IEnumerable<PathInfo> paths) => [.. paths.Select(path => StorePathName.HashOf(path.StorePath))];

    [Fact]
    public void Bundles_put_references_first_and_large_paths_alone()
    {
        var closure = Enumerable.Range(0, 600).Select(i => Info(i, i == 7 ? 50L << 20 : 1000, i < 500 ? [] : [i - 500, i, i - 1])).ToList();

        var bundles = BundlePlan.Of(closure, Hashes(closure));

        var place = bundles.SelectMany(bundle => bundle.Paths.Select((path, at) => (path.StorePath, Place: (bundle.Index, at)))).ToDictionary(pair => pair.StorePath, pair => pair.Place);
        place.Count.ShouldBe(600);
        foreach (var bundle in bundles)
        {
            bundle.Paths.Count.ShouldBeLessThanOrEqualTo(BundlePlan.MaxPaths);
            foreach (var (path, reference) in bundle.Paths.SelectMany(path => path.References.Where(r => r != path.StorePath).Select(r => (path, r))))
            {
                place[reference].CompareTo(place[path.StorePath]).ShouldBeLessThan(0);
                (place[reference].Index == bundle.Index || bundle.Needs.Contains(place[reference].Index)).ShouldBeTrue();
            }
        }

        bundles.Single(bundle => bundle.Paths.Any(path => path.StorePath == PathOf(7))).Paths.ShouldHaveSingleItem();
    }

    [Fact]
    public void A_later_run_cuts_what_is_left_the_same_way()
    {
        var closure = Enumerable.Range(0, 900).Select(i => Info(i)).ToList();
        var first = BundlePlan.Of(closure, Hashes(closure));
        var pushed = first[1];

        var second = BundlePlan.Of(closure, Hashes(closure.Except(pushed.Paths)));

        second.Select(bundle => string.Join(' ', bundle.Paths.Select(path => path.StorePath)))
            .ShouldBe(first.Where(bundle => bundle != pushed).Select(bundle => string.Join(' ', bundle.Paths.Select(path => path.StorePath))));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_archive_is_the_same_each_time_and_goes_on_from_any_byte(bool zstd)
    {
        var (nix, infos) = await MakeStoreAsync(900_000, 10);
        var packing = new Packing(zstd, 3);
        var bundle = new Bundle(0, infos, []);
        var whole = await StreamAsync(nix, bundle, packing, 0);

        foreach (var skip in new long[] { 0, 1, 18, 19, 300, whole.Length / 2, whole.Length - 1, whole.Length })
        {
            (await StreamAsync(nix, bundle, packing, skip)).ShouldBe(whole[(int)skip..]);
        }

        var unpacked = Unpack(whole);
        unpacked.Select(pair => pair.Entry.StorePath).ShouldBe(infos.Select(info => info.StorePath));
        unpacked.ShouldAllBe(pair => pair.Entry.NarSize == pair.Nar.Length);
    }

    [Fact]
    public async Task A_path_that_is_not_as_registered_is_an_error_that_names_it()
    {
        var (nix, infos) = await MakeStoreAsync(10);
        var wrong = infos[0] with { NarSize = infos[0].NarSize + 8 };

        var failure = await Should.ThrowAsync<Shell.CliFailure>(() => StreamAsync(nix, new Bundle(0, [wrong], []), new Packing(true, 3), 0));

        failure.Message.ShouldContain(wrong.StorePath);
        failure.Try[0].ShouldStartWith("nix-store --verify-path");
    }

    [Fact]
    public async Task A_cut_upload_goes_on_where_it_broke_and_referrers_are_completed_last()
    {
        var (_, infos) = await MakeStoreAsync(12_000_000, 10);
        var referrer = infos[1] with { References = [infos[0].StorePath] };
        var server = new ArchiveServer(Hashes(infos), cutFirstAfter: 100_000);
        await using var api = await FakeApi.StartAsync(server.AnswerAsync);
        using var cli = new CliRun();
        cli.Variables["PATH"] = FakeNix([infos[0], referrer]);

        var exit = await cli.RunAsync(
            "push", "acme/main", infos[1].StorePath, "--store-root", folder.Path, "--compression", "none", "--json", "--url", api.Url);

        exit.ShouldBe(ExitCodes.Ok, cli.Error);
        server.Cuts.ShouldBe(1);
        server.Completed.Select(archive => Unpack(archive).Single().Entry.StorePath).ShouldBe([infos[0].StorePath, infos[1].StorePath]);
        using var report = JsonDocument.Parse(cli.Out);
        report.RootElement.GetProperty("pushed").GetInt32().ShouldBe(2);
        report.RootElement.GetProperty("added").GetInt32().ShouldBe(2);
    }

    [Fact]
    public async Task Nothing_is_sent_when_the_cache_has_it_all()
    {
        var (_, infos) = await MakeStoreAsync(10);
        var server = new ArchiveServer([], cutFirstAfter: null);
        await using var api = await FakeApi.StartAsync(server.AnswerAsync);
        using var cli = new CliRun();
        cli.Variables["PATH"] = FakeNix(infos);

        (await cli.RunAsync("push", "acme/main", infos[0].StorePath, "--url", api.Url)).ShouldBe(ExitCodes.Ok, cli.Error);

        api.Requests.Select(request => request.Path).ShouldBe(["/v1/orgs/acme/caches/main/missing-paths"]);
        cli.Error.ShouldContain("acme/main has it already");
    }

    /// <summary>Files of these sizes as store paths under the folder.</summary>
    private async Task<(NixProgram Nix, List<PathInfo> Infos)> MakeStoreAsync(params int[] sizes)
    {
        var infos = new List<PathInfo>();
        for (var i = 0; i < sizes.Length; i++)
        {
            var bytes = new byte[sizes[i]];
            new Random(i).NextBytes(bytes);
            await File.WriteAllBytesAsync(folder.File(PathOf(i)[1..]), bytes, TestContext.Current.CancellationToken);
            infos.Add(Info(i, 112 + ((sizes[i] + 7) & ~7)));
        }

        var environment = new Shell.CliEnvironment
        {
            Out = TextWriter.Null, Error = TextWriter.Null, In = TextReader.Null, OutIsTerminal = false, ErrorIsTerminal = false, InIsTerminal = false,
            Width = () => 80, Variable = _ => null, ReadHidden = () => null,
        };
        return (new NixProgram(environment, folder.Path), infos);
    }

    /// <summary>A folder for PATH with a <c>nix</c> that prints this closure.</summary>
    private string FakeNix(IEnumerable<PathInfo> closure)
    {
        var json = "[" + string.Join(',', closure.Select(info =>
            $$"""{"path":"{{info.StorePath}}","narHash":"{{info.NarHash}}","narSize":{{info.NarSize}},"references":[{{string.Join(',', info.References.Select(r => $"\"{r}\""))}}]}""")) + "]";
        var program = folder.File("bin/nix");
        File.WriteAllText(program, $"#!/bin/sh\necho '{json}'\n");
        File.SetUnixFileMode(program, (UnixFileMode)Convert.ToInt32("755", 8));
        return Path.GetDirectoryName(program)!;
    }

    private static async Task<byte[]> StreamAsync(NixProgram nix, Bundle bundle, Packing packing, long skip)
    {
        using var output = new MemoryStream();
        await new ArchiveWriter(bundle, packing, nix).WriteAsync(output, skip, new Unwatched(), TestContext.Current.CancellationToken);
        return output.ToArray();
    }

    private static List<(ArchiveEntry Entry, byte[] Nar)> Unpack(byte[] archive)
    {
        archive.AsSpan(0, ArchiveFormat.Magic.Length).SequenceEqual(ArchiveFormat.Magic).ShouldBeTrue();
        var entries = new List<(ArchiveEntry, byte[])>();
        var at = ArchiveFormat.Magic.Length;
        while (at < archive.Length)
        {
            var entry = JsonSerializer.Deserialize(Take(), ApiJson.Default.ArchiveEntry)!;
            using var packed = new MemoryStream();
            for (var chunk = Take(); chunk.Length > 0; chunk = Take())
            {
                chunk.Length.ShouldBeLessThanOrEqualTo(ArchiveFormat.MaxChunkBytes);
                packed.Write(chunk);
            }

            entries.Add((entry, entry.Compression == "zstd" ? Inflate(packed.ToArray()) : packed.ToArray()));
        }

        return entries;

        byte[] Take()
        {
            var length = BinaryPrimitives.ReadInt32LittleEndian(archive.AsSpan(at));
            var bytes = archive[(at + 4)..(at + 4 + length)];
            at += 4 + length;
            return bytes;
        }
    }

    private static byte[] Inflate(byte[] packed)
    {
        using var zstd = Decompressor.Create(CompressionFormat.Zstd, new DecompressionLimits(27, 128 << 20));
        using var output = new MemoryStream();
        var room = new byte[65_536];
        var input = packed.AsSpan();
        CodecResult result;
        do
        {
            result = zstd.Decompress(input, room);
            input = input[result.Consumed..];
            output.Write(room, 0, result.Written);
        }
        while (input.Length > 0 || result.Written > 0);
        zstd.AtEnd.ShouldBeTrue();
        return output.ToArray();
    }

    private sealed class Unwatched : IPushObserver
    {
        public void Reading(PathInfo path)
        {
        }

        public void Read(int bytes)
        {
        }

        public void PathRead()
        {
        }
    }

    /// <summary>The archive routes, keeping what they are sent; the first upload is cut after some bytes.</summary>
    private sealed class ArchiveServer(HashSet<string> missing, int? cutFirstAfter)
    {
        private readonly ConcurrentDictionary<string, MemoryStream> uploads = new();
        private int toCut = cutFirstAfter is null ? 0 : 1;

        public ConcurrentQueue<byte[]> Completed { get; } = new();

        public int Cuts { get; private set; }

        public async Task AnswerAsync(HttpContext http)
        {
            var path = http.Request.Path.Value!;
            if (path.EndsWith("/missing-paths", StringComparison.Ordinal))
            {
                await FakeApi.AnswerAsync(http, new MissingPaths([.. missing]), ApiJson.Default.MissingPaths);
            }
            else if (path.EndsWith("/archives", StringComparison.Ordinal))
            {
                var request = (await JsonSerializer.DeserializeAsync(http.Request.Body, ApiJson.Default.CreateArchiveRequest, http.RequestAborted))!;
                var upload = uploads.GetOrAdd(request.ResumeKey, _ => new MemoryStream());
                await FakeApi.AnswerAsync(http, Show(request.ResumeKey, "uploading", upload.Length, 0), ApiJson.Default.Archive, 201);
            }
            else if (http.Request.Method == "PATCH")
            {
                await AppendAsync(http, path.Split('/')[^2]);
            }
            else
            {
                var id = path.Split('/')[^1];
                var done = http.Request.Query.ContainsKey("wait");
                await FakeApi.AnswerAsync(http, Show(id, done ? "done" : "uploading", uploads[id].Length, done ? 1 : 0), ApiJson.Default.Archive);
            }
        }

        private async Task AppendAsync(HttpContext http, string id)
        {
            var upload = uploads[id];
            http.Request.Headers[ArchiveFormat.UploadOffsetHeader].ToString().ShouldBe(upload.Length.ToString(System.Globalization.CultureInfo.InvariantCulture));
            var buffer = new byte[50_000];
            int read;
            while ((read = await http.Request.Body.ReadAsync(buffer, http.RequestAborted)) > 0)
            {
                upload.Write(buffer, 0, read);
                if (upload.Length > (cutFirstAfter ?? int.MaxValue) && Interlocked.Exchange(ref toCut, 0) == 1)
                {
                    Cuts++;
                    http.Abort();
                    return;
                }
            }

            if (http.Request.Headers[ArchiveFormat.UploadCompleteHeader] == "?1")
            {
                Completed.Enqueue(upload.ToArray());
                await FakeApi.AnswerAsync(http, Show(id, "queued", upload.Length, 0), ApiJson.Default.Archive, 202);
            }
            else
            {
                http.Response.StatusCode = 204;
            }
        }

        private static Archive Show(string id, string state, long offset, int added) =>
            new(id, state, offset, 1, added, null, DateTimeOffset.UnixEpoch, null);
    }
}
