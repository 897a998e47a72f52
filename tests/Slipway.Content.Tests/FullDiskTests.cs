using System.Diagnostics;
using static Slipway.Content.Tests.Uploading;

namespace Slipway.Content.Tests;

public sealed class FullDiskTests
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Upload_that_fills_the_disk_fails_as_full_and_frees_what_it_took()
    {
        await using var disk = await TinyDisk.MountAsync(megabytes: 8);
        await using var folder = new Folder(Path.Combine(disk.Path, "store"));
        var store = await folder.OpenAsync();
        var kept = await store.PutAsync(Bytes(100_000));
        var free = (await store.ProbeAsync(CancellationToken)).FreeBytes;

        var failure = await Should.ThrowAsync<ContentStoreException>(() => store.PutAsync(Bytes(9_000_000)));

        failure.Failure.ShouldBe(ContentFailure.StoreFull);
        (await store.ProbeAsync(CancellationToken)).FreeBytes.ShouldBe(free);
        (await store.GetAsync(kept)).ShouldBe(Bytes(100_000));
        (await store.GetAsync(await store.PutAsync(Bytes(200_000)))).ShouldBe(Bytes(200_000));
    }

    [Fact]
    public async Task Upload_cannot_go_on_after_a_write_that_failed()
    {
        await using var disk = await TinyDisk.MountAsync(megabytes: 8);
        await using var folder = new Folder(Path.Combine(disk.Path, "store"));
        var store = await folder.OpenAsync();
        await using var upload = await store.BeginUploadAsync(null, CancellationToken);
        await Should.ThrowAsync<ContentStoreException>(async () => await upload.WriteAsync(Bytes(9_000_000), CancellationToken));

        await Should.ThrowAsync<InvalidOperationException>(async () => await upload.CommitAsync(null, CancellationToken));
    }

    [Fact]
    public async Task Announced_upload_that_would_eat_the_reserve_is_refused_before_its_first_byte()
    {
        await using var disk = await TinyDisk.MountAsync(megabytes: 8);
        await using var folder = new Folder(Path.Combine(disk.Path, "store"));
        var store = await folder.OpenAsync(reserveBytes: 4_000_000);

        var refusal = await Should.ThrowAsync<ContentStoreException>(
            async () => await store.BeginUploadAsync(5_000_000, CancellationToken));

        refusal.Failure.ShouldBe(ContentFailure.StoreFull);
        folder.Uploads.ShouldBeEmpty();
        (await store.PutAsync(Bytes(2_000_000))).ShouldBe(Digest.Of(Bytes(2_000_000)));
    }

    [Fact]
    public async Task Probe_reports_free_bytes_without_the_reserve_and_refuses_when_only_that_is_left()
    {
        await using var disk = await TinyDisk.MountAsync(megabytes: 8);
        await using var folder = new Folder(Path.Combine(disk.Path, "store"));
        var all = (await (await folder.OpenAsync()).ProbeAsync(CancellationToken)).FreeBytes;

        (await (await folder.OpenAsync(reserveBytes: 1_000_000)).ProbeAsync(CancellationToken))
            .ShouldBe(new StoreHealth(Writable: true, all - 1_000_000, Problem: null));
        (await (await folder.OpenAsync(reserveBytes: all)).ProbeAsync(CancellationToken))
            .ShouldSatisfyAllConditions(
                health => health.Writable.ShouldBeFalse(),
                health => health.Problem.ShouldNotBeNull().ShouldContain("reserve"));
    }

    [Fact]
    public async Task Upload_of_unknown_size_is_stopped_when_it_reaches_the_reserve()
    {
        var volume = new CrashingVolume { FreeBytes = 100L << 20 };
        await using var segments = volume.OpenStore(reserveBytes: 50L << 20);
        var store = new SpaceContentStore(segments.Space(Guid.NewGuid()), 50L << 20);
        await using var upload = await store.BeginUploadAsync(null, CancellationToken);
        var megabyte = Bytes(1 << 20);

        var failure = await Should.ThrowAsync<ContentStoreException>(async () =>
        {
            for (var written = 0; written < 100; written++)
            {
                await upload.WriteAsync(megabyte, CancellationToken);
                volume.FreeBytes -= megabyte.Length;
            }
        });

        failure.Failure.ShouldBe(ContentFailure.StoreFull);
        // The reserve plus at most one interval between checks.
        upload.BytesWritten.ShouldBeInRange(34L << 20, 66L << 20);
    }

    /// <summary>A tmpfs of a few megabytes: the only honest way to meet ENOSPC.</summary>
    private sealed class TinyDisk : IAsyncDisposable
    {
        private TinyDisk(string path) => Path = path;

        public string Path { get; }

        public static async Task<TinyDisk> MountAsync(int megabytes)
        {
            Assert.SkipUnless(Environment.UserName == "root", "NOT TESTED: a full disk. Mounting a tmpfs needs root.");
            var path = Directory.CreateTempSubdirectory("slipway-tiny-").FullName;
            if (await RunAsync("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", path) != 0)
            {
                Directory.Delete(path);
                Assert.Skip("NOT TESTED: a full disk. This machine lets nobody mount a tmpfs.");
            }

            return new TinyDisk(path);
        }

        public async ValueTask DisposeAsync()
        {
            (await RunAsync("umount", "--lazy", Path)).ShouldBe(0);
            Directory.Delete(Path);
        }

        private static async Task<int> RunAsync(string command, params string[] arguments)
        {
            using var process = Process.Start(command, arguments);
            await process.WaitForExitAsync(CancellationToken.None);
            return process.ExitCode;
        }
    }
}
