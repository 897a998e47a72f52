using System.Buffers;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;

namespace Slipway.BuildCache.ActionCache;

/// <summary>What a look-up of an action found.</summary>
/// <param name="Buffer">Rented; holds the entry when there is one. Whoever got it gives it back.</param>
internal readonly record struct FoundAction(byte[]? Buffer, int Length, MissReason Reason, BlobDigest Missing)
{
    public bool IsHit => Reason == MissReason.None;

    /// <summary>The serialised ActionResult.</summary>
    public ReadOnlySpan<byte> Result => ActionEntry.TryRead(Buffer.AsSpan(0, Length), out var entry) ? entry.Result : default;

    public void Return()
    {
        if (Buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(Buffer);
        }
    }
}

/// <summary>The entries of the action cache in the store: written only when all they refer to is on the disk, served only when it still is here.</summary>
/// <remarks>
/// <code>
/// put   closure present? ─▶ SyncAsync ─▶ entry visible             after power loss no entry points at a lost blob
/// find  probed lately, and nothing lost since? ─▶ hit, O(1)        else every blob of the closure is probed and renewed
/// </code>
/// "Lately" is half the store's minimum age: what was renewed then can't be evicted for another half.
/// </remarks>
internal static class ActionEntries
{
    public static BlobKey KeyOf(BuildCacheAccess access, in BlobDigest action) =>
        new(DigestFunction.ActionKind(action.Key.Kind), access.ActionKey(action.Key.Hash));

    /// <summary>Looks an action up; often completes at once. See <see cref="FoundAction"/> for what to do with the result.</summary>
    public static ValueTask<FoundAction> FindAsync(
        ContentSpace space, BlobKey key, long actionSize, DateTimeOffset now, CancellationToken cancellationToken)
    {
        if (!space.TryFind(key, out var info))
        {
            return ValueTask.FromResult(new FoundAction(null, 0, MissReason.Absent, default));
        }

        var length = checked((int)info.Length);
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Max(1, length));
        var read = BlobReading.ReadAsync(space, info, buffer.AsMemory(0, length), cancellationToken);
        return read.IsCompletedSuccessfully
            ? ValueTask.FromResult(Judge(space, info, buffer, length, read.Result, actionSize, now))
            : AwaitedAsync(space, info, buffer, length, read, actionSize, now);
    }

    /// <summary>Stores a result whose closure is present. Returns when the entry is visible.</summary>
    public static async ValueTask PutAsync(
        ContentSpace space, BlobKey key, long actionSize, IReadOnlyCollection<BlobDigest> closure, ReadOnlyMemory<byte> result, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(ActionEntry.LengthFor(closure.Count, result.Length));
        try
        {
            var length = ActionEntry.Write(buffer, actionSize, closure, result.Span);
            var entry = buffer.AsMemory(0, length);
            // The barrier: what the entry refers to is on the disk before the entry can be seen.
            if (closure.Count > 0)
            {
                await space.SyncAsync(cancellationToken);
            }

            if (length <= ContentSpace.MaxSmall)
            {
                await space.PutAsync(key, entry, BlobCodec.Raw, length, Durability.Written, cancellationToken);
                return;
            }

            await using var large = space.BeginLarge(resumeName: null);
            await large.WriteAsync(entry, cancellationToken);
            await large.CommitAsync(key, BlobCodec.Raw, length, Durability.Written, cancellationToken);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async ValueTask<FoundAction> AwaitedAsync(
        ContentSpace space, BlobInfo info, byte[] buffer, int length, ValueTask<bool> read, long actionSize, DateTimeOffset now)
    {
        try
        {
            return Judge(space, info, buffer, length, await read, actionSize, now);
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    private static FoundAction Judge(ContentSpace space, in BlobInfo info, byte[] buffer, int length, bool wasRead, long actionSize, DateTimeOffset now)
    {
        if (!wasRead || !ActionEntry.TryRead(buffer.AsSpan(0, length), out var entry))
        {
            return new FoundAction(buffer, 0, MissReason.Unreadable, default);
        }

        // Over HTTP nobody tells the action's size.
        if (actionSize >= 0 && entry.ActionSize >= 0 && entry.ActionSize != actionSize)
        {
            return new FoundAction(buffer, 0, MissReason.OtherSize, default);
        }

        if (now - info.LastUsed >= space.MinimumAge / 2 || info.LastUsed <= space.LastLossAt)
        {
            if (!entry.TouchAll(space, out var missing))
            {
                return new FoundAction(buffer, 0, MissReason.Incomplete, missing);
            }

            space.Touch(info.Key, info.Length);
        }

        return new FoundAction(buffer, length, MissReason.None, default);
    }
}
