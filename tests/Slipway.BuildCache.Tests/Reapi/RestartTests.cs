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
    [InlineData(BlobKind.Sha256, false)]
    [InlineData(BlobKind.Blake3, false)]
    [InlineData(BlobKind.Sha256, true)]
    public async Task A_large_upload_goes_on_after_a_restart(BlobKind kind, bool compressed)
    {
        var store = Guid.NewGuid();
        var owner = Guid.NewGuid();
        var bytes = ReapiClient.Bytes(3_000_000);
        var digest = new BlobDigest(new BlobKey(kind, BlobHash.Of(kind, bytes)), bytes.Length);
        byte[] Form(ReadOnlySpan<byte> part) => compressed ? ReapiClient.Zstd(part) : part.ToArray();

        long left;
        await using (var stores = await OpenAsync(store))
        {
            await using var upload = await BlobUpload.BeginAsync(stores.Segments(store).Space(owner), digest, compressed, "name", 0, CancellationToken);
            // Compressed, it breaks in the middle of the only frame.
            (await upload!.AppendAsync(Form(bytes).AsMemory(0, 1_700_000), CancellationToken)).ShouldBeTrue();
            left = upload.Size;
            left.ShouldBeInRange(1_400_000, 1_700_000);
        }

        await using (var stores = await OpenAsync(store))
        {
            var space = stores.Segments(store).Space(owner);
            (await BlobUpload.ResumableAsync(space, digest, compressed, "another name", CancellationToken)).ShouldBe(0);
            (await BlobUpload.ResumableAsync(space, digest, compressed, "name", CancellationToken)).ShouldBe(left);
            (await BlobUpload.BeginAsync(space, digest, compressed, "name", left + 1, CancellationToken)).ShouldBeNull();
            // A little before the end of what is here: clients ask at one moment and go on at another.
            await using var upload = await BlobUpload.BeginAsync(space, digest, compressed, "name", left - 1000, CancellationToken);
            upload!.Size.ShouldBe(left);
            (await upload.AppendAsync(Form(bytes.AsSpan((int)left - 1000)), CancellationToken)).ShouldBeTrue();
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
