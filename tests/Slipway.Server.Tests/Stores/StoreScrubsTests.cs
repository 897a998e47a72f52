using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Shouldly;
using Slipway.Content;
using Slipway.Server.Stores;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Stores;

/// <summary>Scrubs the server begins by itself, on a clock that stands still.</summary>
public sealed class StoreScrubsTests : IAsyncLifetime
{
    private static readonly TimeSpan Every = TimeSpan.FromDays(30);

    private readonly TempFolder folder = new();
    // After the folder was made: a store that was never scrubbed is as old as its folder.
    private readonly ManualTimeProvider time = new(DateTimeOffset.UtcNow);
    private readonly Guid storeId = Guid.NewGuid();
    private ContentStores stores = null!;
    private OpenedStore store = null!;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        stores = new ContentStores(new ContentStoreOptions { ReserveBytes = 0, Housekeeping = TimeSpan.FromDays(45) }, time, NullLogger<ContentStores>.Instance);
        foreach (var (id, name) in ((Guid, string)[])[(storeId, "one"), (Guid.NewGuid(), "two")])
        {
            await stores.OpenAsync(id, name, folder.File(name), CancellationToken);
            await stores.Segments(id).Loaded.WaitAsync(CancellationToken);
        }

        store = stores.Find("one")!;
        foreach (var one in stores.Opened)
        {
            for (var blob = 0; blob < 3; blob++)
            {
                var bytes = new byte[100_000];
                Random.Shared.NextBytes(bytes);
                await one.Segments.Space(one.Id).PutAsync(
                    new BlobKey(BlobKind.Sha256, Digest.Of(bytes)), bytes, BlobCodec.Raw, bytes.Length, Durability.Written, CancellationToken);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stores.DisposeAsync();
        folder.Dispose();
    }

    [Fact]
    public async Task A_store_is_scrubbed_when_its_time_has_come_and_not_again_before()
    {
        var scrubs = New(bytesPerSecond: 1L << 30);
        await scrubs.StartAsync(CancellationToken);
        scrubs.Show(store).Scrub.State.ShouldBe(ScrubState.Never);

        time.Advance(Every + TimeSpan.FromMinutes(2));
        await PassAsync(() => scrubs.Show(store).Scrub.State == ScrubState.Done);
        var first = scrubs.Show(store).Scrub;
        first.Scheduled.ShouldBeTrue();
        first.Blobs.ShouldBe(3);

        time.Advance(Every / 2);
        await scrubs.StopAsync(CancellationToken);
        scrubs.Show(store).Scrub.StartedAt.ShouldBe(first.StartedAt);
    }

    [Fact]
    public async Task Zero_means_that_nothing_is_scrubbed_by_itself()
    {
        var scrubs = new StoreScrubs(stores, new ScrubOptions(TimeSpan.Zero, 0), time, NullLogger<StoreScrubs>.Instance);
        time.Sleep(TimeSpan.FromDays(3_000));
        scrubs.Look();
        scrubs.Show(store).Scrub.State.ShouldBe(ScrubState.Never);
        await scrubs.StopAsync(CancellationToken);
    }

    [Fact]
    public async Task Stores_are_scrubbed_one_after_the_other()
    {
        time.Advance(Every + TimeSpan.FromMinutes(1));
        var scrubs = New(bytesPerSecond: 1);
        scrubs.Look();
        scrubs.Look();
        stores.Opened.Count(one => scrubs.Show(one).Scrub.State == ScrubState.Running).ShouldBe(1);
        await scrubs.StopAsync(CancellationToken);
    }

    [Fact]
    public async Task One_that_somebody_asks_for_takes_the_place_of_the_server_s_own()
    {
        time.Advance(Every + TimeSpan.FromMinutes(1));
        var scrubs = New(bytesPerSecond: 1 << 20);
        BeginSlowly(scrubs);

        var asked = await scrubs.StartAsync(store, bytesPerSecond: 0);

        asked.Scheduled.ShouldBeFalse();
        await scrubs.Show(store).Ended.WaitAsync(CancellationToken);
        scrubs.Show(store).Scrub.ShouldSatisfyAllConditions(scrub => scrub.State.ShouldBe(ScrubState.Done), scrub => scrub.Blobs.ShouldBe(3));
        await scrubs.StopAsync(CancellationToken);
    }

    [Fact]
    public async Task Rot_is_an_error_in_the_log()
    {
        var lines = new ErrorLines();
        var scrubs = new StoreScrubs(stores, new ScrubOptions(TimeSpan.Zero, 0), time, lines);
        var segment = Directory.EnumerateFiles(folder.File("one/segments")).Single();
        using (var handle = File.OpenHandle(segment, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            var there = new byte[1];
            RandomAccess.Read(handle, there, 50_000);
            RandomAccess.Write(handle, [(byte)(there[0] ^ 1)], 50_000);
        }

        await scrubs.StartAsync(store, bytesPerSecond: 0);
        await scrubs.Show(store).Ended.WaitAsync(CancellationToken);

        lines.Texts.Single().ShouldContain("The scrub of store one found 1 rotten");
        await scrubs.StopAsync(CancellationToken);
    }

    [Fact]
    public async Task A_scrub_that_a_restart_cut_short_goes_on()
    {
        time.Advance(Every + TimeSpan.FromMinutes(1));
        var first = New(bytesPerSecond: 1 << 20);
        BeginSlowly(first);
        var begun = first.Show(store).Scrub.StartedAt;
        await first.StopAsync(CancellationToken);
        ScrubNote.Read(store).Scrub.State.ShouldBe(ScrubState.Running);
        time.Advance(TimeSpan.FromMinutes(1));

        var second = New(bytesPerSecond: 1L << 30);
        second.Look();
        await PassAsync(() => second.Show(store).Scrub.State == ScrubState.Done);

        second.Show(store).Scrub.ShouldSatisfyAllConditions(scrub => scrub.StartedAt.ShouldBe(begun), scrub => scrub.Blobs.ShouldBe(3));
        await second.StopAsync(CancellationToken);
    }

    // Reads a step and then waits for time that stands still.
    private void BeginSlowly(StoreScrubs scrubs)
    {
        scrubs.Look();
        scrubs.Show(store).Scrub.State.ShouldBe(ScrubState.Running);
    }

    // A scrub pauses between two reads, until we let time pass.
    private Task PassAsync(Func<bool> condition) => Eventually.TrueAsync(
        () =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return condition();
        }, CancellationToken);

    private StoreScrubs New(long bytesPerSecond) => new(stores, new ScrubOptions(Every, bytesPerSecond), time, NullLogger<StoreScrubs>.Instance);

    private sealed class ErrorLines : ILogger<StoreScrubs>
    {
        public List<string> Texts { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel >= LogLevel.Error)
            {
                Texts.Add(formatter(state, exception));
            }
        }
    }
}
