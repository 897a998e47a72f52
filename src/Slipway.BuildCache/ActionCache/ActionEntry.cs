using Slipway.BuildCache.Wire;
using Slipway.Content;

namespace Slipway.BuildCache.ActionCache;

/// <summary>
/// An action's result as it is stored: the message itself, and before it everything the result refers to, so that a hit never has
/// to open a tree to know whether all of it is here.
/// </summary>
/// <remarks><c>version 1 | action's size | length of the closure | (kind, hash, size) … | ActionResult</c>, numbers as varints. To find the
/// result nothing of the closure has to be looked at, however many outputs an action has.</remarks>
internal readonly ref struct ActionEntry
{
    private const byte Version = 1;

    private readonly ReadOnlySpan<byte> closure;

    private ActionEntry(long actionSize, ReadOnlySpan<byte> closure, ReadOnlySpan<byte> result)
    {
        ActionSize = actionSize;
        this.closure = closure;
        Result = result;
    }

    /// <summary>Size of the Action message; part of what it is asked for by.</summary>
    public long ActionSize { get; }

    /// <summary>The serialised ActionResult.</summary>
    public ReadOnlySpan<byte> Result { get; }

    /// <summary>False for bytes that are no entry: written by a later version, or by nobody.</summary>
    public static bool TryRead(ReadOnlySpan<byte> stored, out ActionEntry entry)
    {
        entry = default;
        if (stored.Length < 3 || stored[0] != Version)
        {
            return false;
        }

        var at = 1;
        if (!TryVarint(stored, ref at, out var size) || !TryVarint(stored, ref at, out var length) || length > (ulong)(stored.Length - at))
        {
            return false;
        }

        entry = new ActionEntry((long)size, stored.Slice(at, (int)length), stored[(at + (int)length)..]);
        return true;
    }

    /// <summary>Renews the last use of every blob of the closure, and tells the first one that isn't here.</summary>
    public bool TouchAll(ContentSpace space, out BlobDigest missing)
    {
        for (var at = 0; at < closure.Length;)
        {
            var key = new BlobKey((BlobKind)closure[at], Digest.FromBytes(closure.Slice(at + 1, Digest.Size)));
            at += 1 + Digest.Size;
            TryVarint(closure, ref at, out var size);
            if (!space.Touch(key, (long)size))
            {
                missing = new BlobDigest(key, (long)size);
                return false;
            }
        }

        missing = default;
        return true;
    }

    /// <summary>Most bytes an entry of these takes.</summary>
    public static int LengthFor(int count, int resultLength) => checked(1 + 10 + 5 + count * (1 + Digest.Size + 9) + resultLength);

    /// <returns>Bytes written to <paramref name="destination"/>.</returns>
    public static int Write(Span<byte> destination, long actionSize, IReadOnlyCollection<BlobDigest> closure, ReadOnlySpan<byte> result)
    {
        var writer = new ProtoWriter(destination);
        writer.Varint(Version);
        writer.Varint((ulong)actionSize);
        writer.Varint((ulong)closure.Sum(blob => 1 + Digest.Size + ProtoWriter.VarintLength((ulong)blob.Size)));
        foreach (var blob in closure)
        {
            writer.Varint((ulong)blob.Key.Kind);
            writer.Raw(blob.Key.Hash.AsSpan());
            writer.Varint((ulong)blob.Size);
        }

        writer.Raw(result);
        return writer.Position;
    }

    private static bool TryVarint(ReadOnlySpan<byte> from, ref int at, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 64 && at < from.Length; shift += 7)
        {
            var next = from[at++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return true;
            }
        }

        return false;
    }
}
