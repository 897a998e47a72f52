using Microsoft.Extensions.Logging.Abstractions;

namespace Slipway.Content.Tests;

/// <summary>A temporary folder with a content store in it.</summary>
internal sealed class Folder : IAsyncDisposable
{
    private ContentStores? stores;

    public Folder(string? path = null)
    {
        Path = path ?? Directory.CreateTempSubdirectory("slipway-content-").FullName;
    }

    public string Path { get; }

    public Guid StoreId { get; } = Guid.NewGuid();

    public SettableTime Time { get; } = new();

    public string[] Uploads => Directory.GetFiles(System.IO.Path.Combine(Path, "uploads"));

    public SegmentStore Segments => stores!.Segments(StoreId);

    /// <summary>Opens the store as a process that starts now would: the one opened before is as dead as after kill -9.</summary>
    public async Task<IContentStore> OpenAsync(long reserveBytes = 0)
    {
        if (stores is not null)
        {
            await stores.DisposeAsync();
        }

        stores = new ContentStores(new ContentStoreOptions { ReserveBytes = reserveBytes }, Time, NullLogger<ContentStores>.Instance);
        var store = await stores.OpenAsync(StoreId, Path, TestContext.Current.CancellationToken);
        await Segments.Loaded;
        return store;
    }

    public async ValueTask DisposeAsync()
    {
        if (stores is not null)
        {
            await stores.DisposeAsync();
        }

        Directory.Delete(Path, recursive: true);
    }
}

internal sealed class SettableTime : TimeProvider
{
    public DateTimeOffset Now { get; set; } = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    public override DateTimeOffset GetUtcNow() => Now;
}

internal static class Uploading
{
    public static byte[] Bytes(int length, int seed = 1)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static async Task<Digest> PutAsync(this IContentStore store, ReadOnlyMemory<byte> bytes, Digest? expected = null)
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        await using var upload = await store.BeginUploadAsync(bytes.Length, cancellationToken);
        await upload.WriteAsync(bytes, cancellationToken);
        return await upload.CommitAsync(expected, cancellationToken);
    }

    public static async Task<byte[]?> GetAsync(this IContentStore store, Digest digest)
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        await using var reader = await store.OpenAsync(digest, cancellationToken);
        if (reader is null)
        {
            return null;
        }

        var bytes = new byte[reader.Length];
        var read = 0;
        while (await reader.ReadAsync(bytes.AsMemory(read), read, cancellationToken) is > 0 and var count)
        {
            read += count;
        }

        read.ShouldBe(bytes.Length);
        return bytes;
    }
}

internal static class Rot
{
    /// <summary>Changes one byte of a blob on the disk.</summary>
    public static async Task FlipAsync(IContentStore store, Digest digest)
    {
        await using var reader = (await store.OpenAsync(digest, TestContext.Current.CancellationToken)).ShouldNotBeNull();
        var place = reader.File.ShouldNotBeNull();
        using var file = File.OpenHandle(place.Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        var bytes = new byte[1];
        RandomAccess.Read(file, bytes, place.Offset + (reader.Length / 2));
        bytes[0] ^= 0x40;
        RandomAccess.Write(file, bytes, place.Offset + (reader.Length / 2));
    }
}
