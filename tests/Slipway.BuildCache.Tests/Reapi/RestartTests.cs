using Microsoft.Extensions.Logging.Abstractions;
using Shouldly;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests.Reapi;

public sealed class RestartTests : IDisposable
{
    private readonly TempFolder folder = new();

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(BlobKind.Sha256)]
    [InlineData(BlobKind.Blake3)]
    public async Task A_large_upload_goes_on_after_a_restart(BlobKind kind)
    {
        var store = Guid.NewGuid();
        var owner = Guid.NewGuid();
        var bytes = ReapiClient.Bytes(3_000_000);
        var digest = new BlobDigest(new BlobKey(kind, BlobHash.Of(kind, bytes)), bytes.Length);
        await using (var stores = await OpenAsync(store))
        {
            await using var upload = await BlobUpload.BeginAsync(stores.Segments(store).Space(owner), digest, false, "name", 0, CancellationToken);
            (await upload!.AppendAsync(bytes.AsMemory(0, 1_700_000), CancellationToken)).ShouldBeTrue();
        }

        await using (var stores = await OpenAsync(store))
        {
            var space = stores.Segments(store).Space(owner);
            (await BlobUpload.ResumableAsync(space, "another name")).ShouldBe(0);
            (await BlobUpload.ResumableAsync(space, "name")).ShouldBe(1_700_000);
            await using var upload = await BlobUpload.BeginAsync(space, digest, false, "name", 1_700_000, CancellationToken);
            upload!.Size.ShouldBe(1_700_000);
            (await upload.AppendAsync(bytes.AsMemory(1_700_000), CancellationToken)).ShouldBeTrue();
            (await upload.FinishAsync(CancellationToken)).ShouldBeNull();
            space.TryFind(digest.Key, out var info).ShouldBeTrue();
            var read = new byte[bytes.Length];
            (await BlobReading.ReadAsync(space, info, read, CancellationToken)).ShouldBeTrue();
            read.ShouldBe(bytes);
        }
    }

    private async Task<ContentStores> OpenAsync(Guid store)
    {
        var stores = new ContentStores(new ContentStoreOptions { ReserveBytes = 0 }, TimeProvider.System, NullLogger<ContentStores>.Instance);
        await stores.OpenAsync(store, folder.Path, CancellationToken);
        await stores.Segments(store).Loaded.WaitAsync(CancellationToken);
        return stores;
    }
}
