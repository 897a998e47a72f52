using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using static Slipway.Content.Tests.Uploading;

namespace Slipway.Content.Tests;

public sealed class ContentStoresTests : IAsyncDisposable
{
    private readonly Folder folder = new();
    private readonly ContentStores others = new(new ContentStoreOptions { ReserveBytes = 0 }, TimeProvider.System, NullLogger<ContentStores>.Instance);

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        await others.DisposeAsync();
        await folder.DisposeAsync();
    }

    [Fact]
    public async Task Second_owner_of_a_folder_is_refused_until_the_first_lets_go()
    {
        await using (var first = new ContentStores(new ContentStoreOptions(), TimeProvider.System, NullLogger<ContentStores>.Instance))
        {
            await first.OpenAsync(folder.StoreId, folder.Path, CancellationToken);

            var refusal = await Should.ThrowAsync<ContentStoreException>(() => others.OpenAsync(folder.StoreId, folder.Path, CancellationToken));

            refusal.Failure.ShouldBe(ContentFailure.Unavailable);
            refusal.Message.ShouldContain("in use by another process");
        }

        await others.OpenAsync(folder.StoreId, folder.Path, CancellationToken);
    }

    [Fact]
    public async Task Opening_an_open_store_again_gives_the_same_one()
    {
        var store = await others.OpenAsync(folder.StoreId, folder.Path, CancellationToken);

        (await others.OpenAsync(folder.StoreId, folder.Path + "/", CancellationToken)).ShouldBeSameAs(store);
        others.Get(folder.StoreId).ShouldBeSameAs(store);
        await Should.ThrowAsync<ContentStoreException>(() => others.OpenAsync(folder.StoreId, folder.Path + "-elsewhere", CancellationToken));
    }

    [Fact]
    public void Getting_a_store_that_was_not_opened_is_a_mistake() =>
        Should.Throw<InvalidOperationException>(() => others.Get(Guid.NewGuid()));

    [Fact]
    public async Task Folder_of_another_store_is_refused_and_left_alone()
    {
        var store = await folder.OpenAsync();
        var digest = await store.PutAsync(Bytes(10));
        var dead = await store.BeginUploadAsync(null, CancellationToken);
        await dead.DisposeAsync();
        await folder.OpenAsync();
        var identity = File.ReadAllText(Path.Combine(folder.Path, "store"));
        File.WriteAllText(Path.Combine(folder.Path, "store"), identity.Replace(folder.StoreId.ToString(), Guid.NewGuid().ToString(), StringComparison.Ordinal));

        var refusal = await Should.ThrowAsync<ContentStoreException>(() => folder.OpenAsync());

        refusal.Message.ShouldContain("not that of store");
        File.WriteAllText(Path.Combine(folder.Path, "store"), identity);
        (await (await folder.OpenAsync()).GetAsync(digest)).ShouldBe(Bytes(10));
    }

    [Fact]
    public async Task Folder_that_cannot_be_made_is_reported_with_its_path()
    {
        var file = Path.Combine(folder.Path, "a-file");
        File.WriteAllText(file, "");

        var refusal = await Should.ThrowAsync<ContentStoreException>(() => others.OpenAsync(Guid.NewGuid(), file, CancellationToken));

        refusal.Failure.ShouldBe(ContentFailure.Unavailable);
        refusal.Message.ShouldContain(file);
    }

    [Fact]
    public async Task Uploads_are_counted_by_how_they_ended()
    {
        Dictionary<string, long> outcomes = [];
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Name == "slipway.content.uploads")
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, count, tags, _) =>
        {
            var byName = tags.ToArray().ToDictionary(tag => tag.Key, tag => tag.Value?.ToString());
            if (byName["store"] == Path.GetFileName(folder.Path))
            {
                outcomes[byName["outcome"]!] = outcomes.GetValueOrDefault(byName["outcome"]!) + count;
            }
        });
        listener.Start();
        var store = await folder.OpenAsync();

        await store.PutAsync(Bytes(1));
        await store.PutAsync(Bytes(2));
        await Should.ThrowAsync<ContentStoreException>(() => store.PutAsync(Bytes(1), Digest.Of(Bytes(2))));
        await (await store.BeginUploadAsync(null, CancellationToken)).DisposeAsync();

        outcomes.ShouldBe(new Dictionary<string, long> { ["committed"] = 2, ["digest_mismatch"] = 1, ["abandoned"] = 1 }, ignoreOrder: true);
    }
}
