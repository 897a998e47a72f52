using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Slipway.Testing;

namespace Slipway.Content.Tests.Tier;

/// <summary>One server's store on a bucket: its folder, which outlives the process, and the engine that has it open.</summary>
internal sealed class TierServerUnderTest(TempFolder folder, Guid storeId, S3Options bucket, TimeProvider time) : IAsyncDisposable
{
    private ContentStores? stores;

    public static readonly TierTimings Quick = new()
    {
        Tick = TimeSpan.FromMilliseconds(20),
        ShipAfter = TimeSpan.FromMilliseconds(50),
        Poll = TimeSpan.FromMilliseconds(50),
        Housekeeping = TimeSpan.FromMilliseconds(50),
        ShowLife = TimeSpan.FromMilliseconds(200),
    };

    public static readonly TierTimings Manual = new()
    {
        Tick = Timeout.InfiniteTimeSpan,
        Poll = Timeout.InfiniteTimeSpan,
        Housekeeping = Timeout.InfiniteTimeSpan,
    };

    public TierTimings Timings { get; set; } = Manual;

    public List<string> Reports { get; } = [];

    public StorageTier Tier => stores!.Tier(storeId)!;

    public SegmentStore Store => stores!.Segments(storeId);

    public string Path => folder.Path + "/store";

    public ContentSpace Space(Guid owner) => Store.Space(owner);

    public async Task StartAsync()
    {
        var options = new ContentStoreOptions { ReserveBytes = 0, S3 = bucket, TierTimings = Timings, Housekeeping = TimeSpan.FromHours(1) };
        stores = new ContentStores(options, time, new ListLogger(Reports));
        await stores.OpenAsync(storeId, Path, TestContext.Current.CancellationToken);
        await Store.Loaded.WaitAsync(TestContext.Current.CancellationToken);
    }

    public async Task StopAsync()
    {
        if (stores is not null)
        {
            await stores.DisposeAsync();
            stores = null;
        }
    }

    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        folder.Dispose();
    }

    private sealed class ListLogger(List<string> lines) : ILogger<ContentStores>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (lines)
            {
                lines.Add(formatter(state, exception));
            }
        }
    }
}

internal static class TierBlobs
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public static byte[] Bytes(int seed, int length)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static BlobKey KeyOf(byte[] bytes) => new(BlobKind.Sha256, Digest.FromBytes(SHA256.HashData(bytes)));

    public static BlobKey ActionKey(int number) => new(BlobKind.ActionSha256, Digest.FromBytes(SHA256.HashData(BitConverter.GetBytes(number))));

    public static async Task<BlobKey> PutAsync(this ContentSpace space, byte[] bytes, Durability durability = Durability.Written)
    {
        var key = KeyOf(bytes);
        if (bytes.Length <= ContentSpace.MaxSmall)
        {
            await space.PutAsync(key, bytes, BlobCodec.Raw, bytes.Length, durability, CancellationToken);
            return key;
        }

        await using var upload = space.BeginLarge(null);
        await upload.WriteAsync(bytes, CancellationToken);
        await upload.CommitAsync(key, BlobCodec.Raw, bytes.Length, durability, CancellationToken);
        return key;
    }

    /// <summary>The blob's bytes, or null when it is missing.</summary>
    public static async Task<byte[]?> GetAsync(this ContentSpace space, BlobKey key)
    {
        if (!space.TryFind(key, out var info))
        {
            return null;
        }

        if (!info.IsLarge)
        {
            var small = new byte[info.StoredLength];
            return await space.ReadAsync(info, small, CancellationToken) ? small : null;
        }

        await using var reader = await space.OpenAsync(info, CancellationToken);
        if (reader is null)
        {
            return null;
        }

        var bytes = new byte[reader.Length];
        for (var at = 0; at < bytes.Length;)
        {
            at += await reader.ReadAsync(bytes.AsMemory(at), at, CancellationToken);
        }

        return bytes;
    }
}
