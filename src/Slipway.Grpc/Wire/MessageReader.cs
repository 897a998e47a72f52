using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace Slipway.Grpc;

/// <summary>
/// Takes length-prefixed messages off a pipe without copying them. A message belongs to the pipe: it is valid until the next read.
/// </summary>
/// <remarks>
/// <code>
/// ┌ 1 byte ┬ 4 bytes, big-endian ┬ length bytes ┐
/// │ 0 or 1 │ length              │ message      │   1: compressed as grpc-encoding says
/// └────────┴─────────────────────┴──────────────┘
/// </code>
/// </remarks>
/// <param name="budget">Null: large messages are not counted.</param>
internal sealed class MessageReader(PipeReader input, int maxBytes, string? encoding, MessageBudget? budget)
{
    public const int PrefixBytes = 5;

    private SequencePosition next;
    private bool holdsInput;
    private byte[]? inflated;
    private int counted;
    private bool ended;

    /// <summary>Null at half-close. Completes at once when the message is there already.</summary>
    public ValueTask<ReadOnlySequence<byte>?> ReadAsync(CancellationToken cancellationToken)
    {
        Release();
        while (!ended)
        {
            if (!input.TryRead(out var result))
            {
                return WaitAsync(cancellationToken);
            }

            if (TryTake(result, out var message))
            {
                return new ValueTask<ReadOnlySequence<byte>?>(message);
            }
        }

        return new ValueTask<ReadOnlySequence<byte>?>((ReadOnlySequence<byte>?)null);
    }

    /// <summary>
    /// The only message there may be: waits for the half-close behind it, so that the stream ends whole (an answer before it would
    /// cost a RST_STREAM).
    /// </summary>
    public ValueTask<ReadOnlySequence<byte>> ReadSingleAsync(CancellationToken cancellationToken)
    {
        Release();
        while (input.TryRead(out var result))
        {
            if (TryTakeSingle(result, out var message))
            {
                return new ValueTask<ReadOnlySequence<byte>>(message);
            }
        }

        return WaitForSingleAsync(cancellationToken);
    }

    /// <summary>Gives the last message back. Nothing of it may be used after.</summary>
    public void Release()
    {
        if (holdsInput)
        {
            holdsInput = false;
            input.AdvanceTo(next);
        }

        if (inflated is { } rented)
        {
            inflated = null;
            ArrayPool<byte>.Shared.Return(rented);
        }

        if (counted > 0)
        {
            budget!.Give(counted);
            counted = 0;
        }
    }

    private void Count(int length)
    {
        if (length > MessageBudget.Free && counted == 0 && budget is not null)
        {
            budget.Take(length);
            counted = length;
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadOnlySequence<byte>?> WaitAsync(CancellationToken cancellationToken)
    {
        while (!ended)
        {
            if (TryTake(await input.ReadAsync(cancellationToken).ConfigureAwait(false), out var message))
            {
                return message;
            }
        }

        return null;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadOnlySequence<byte>> WaitForSingleAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (TryTakeSingle(await input.ReadAsync(cancellationToken).ConfigureAwait(false), out var message))
            {
                return message;
            }
        }
    }

    private bool TryTake(in ReadResult result, out ReadOnlySequence<byte> message)
    {
        var buffer = result.Buffer;
        if (result.IsCanceled)
        {
            input.AdvanceTo(buffer.Start);
            throw new OperationCanceledException("Reading a message was cancelled.");
        }

        if (TryReadPrefix(buffer, out var isCompressed, out var length) && buffer.Length - PrefixBytes >= length)
        {
            message = Take(buffer, isCompressed, length);
            return true;
        }

        message = default;
        if (result.IsCompleted)
        {
            End(buffer);
            return false;
        }

        Count(length);
        // Examined but not consumed: HTTP/2 gives the peer window for these bytes, so a message may be larger than the window.
        input.AdvanceTo(buffer.Start, buffer.End);
        return false;
    }

    private bool TryTakeSingle(in ReadResult result, out ReadOnlySequence<byte> message)
    {
        var buffer = result.Buffer;
        if (TryReadPrefix(buffer, out var isCompressed, out var length) && buffer.Length - PrefixBytes > length)
        {
            input.AdvanceTo(buffer.End);
            throw new GrpcException(GrpcStatus.Unimplemented, "This method takes one message, and more came.");
        }

        message = default;
        if (result.IsCanceled || !result.IsCompleted)
        {
            Count(length);
            input.AdvanceTo(buffer.Start, buffer.End);
            return result.IsCanceled ? throw new OperationCanceledException("Reading a message was cancelled.") : false;
        }

        if (buffer.IsEmpty)
        {
            input.AdvanceTo(buffer.End);
            throw new GrpcException(GrpcStatus.InvalidArgument, "The call ended without a message; this method needs one.");
        }

        if (buffer.Length < PrefixBytes || buffer.Length - PrefixBytes < length)
        {
            End(buffer);
        }

        message = Take(buffer, isCompressed, length);
        return true;
    }

    private void End(in ReadOnlySequence<byte> buffer)
    {
        var left = buffer.Length;
        ended = true;
        input.AdvanceTo(buffer.End);
        if (left > 0)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, $"The stream ended inside a message, after {left} bytes of it. Send the whole message before closing the stream.");
        }
    }

    private ReadOnlySequence<byte> Take(in ReadOnlySequence<byte> buffer, bool isCompressed, int length)
    {
        var message = buffer.Slice(PrefixBytes, length);
        next = message.End;
        holdsInput = true;
        return isCompressed ? Inflate(message) : message;
    }

    private bool TryReadPrefix(in ReadOnlySequence<byte> buffer, out bool isCompressed, out int length)
    {
        isCompressed = false;
        length = 0;
        scoped var prefix = buffer.FirstSpan;
        Span<byte> copy = stackalloc byte[PrefixBytes];
        if (prefix.Length < PrefixBytes)
        {
            if (buffer.Length < PrefixBytes)
            {
                return false;
            }

            buffer.Slice(0, PrefixBytes).CopyTo(copy);
            prefix = copy;
        }

        var announced = BinaryPrimitives.ReadUInt32BigEndian(prefix[1..]);
        if (prefix[0] > 1 || announced > (uint)maxBytes || (prefix[0] == 1 && !IsGzip))
        {
            input.AdvanceTo(buffer.End);
            throw prefix[0] > 1
                ? new GrpcException(GrpcStatus.InvalidArgument, $"A message begins with byte {prefix[0]}, where gRPC has 0 or 1. The stream is not gRPC, or out of step.")
                : announced > (uint)maxBytes
                    ? TooLarge(announced)
                    : encoding is null or "identity"
                        ? new GrpcException(GrpcStatus.InvalidArgument, "A message is marked as compressed, but grpc-encoding names no compression.")
                        : new GrpcException(GrpcStatus.Unimplemented, $"Messages compressed with '{encoding}' are not read here. Use gzip or identity.");
        }

        isCompressed = prefix[0] == 1;
        length = (int)announced;
        return true;
    }

    private bool IsGzip => encoding == "gzip";

    private GrpcException TooLarge(long bytes) => new(
        GrpcStatus.ResourceExhausted, $"A message has {bytes} bytes; at most {maxBytes} are taken here. Send smaller messages, or more of them.");

    private ReadOnlySequence<byte> Inflate(in ReadOnlySequence<byte> compressed)
    {
        using var gzip = new GZipStream(PipeReader.Create(compressed).AsStream(), CompressionMode.Decompress);
        // Most messages grow about fourfold; the limit ends a bomb after one byte too many.
        inflated = ArrayPool<byte>.Shared.Rent((int)Math.Clamp(compressed.Length * 4, 256, maxBytes + 1L));
        var length = 0;
        try
        {
            while (true)
            {
                if (length == inflated.Length)
                {
                    var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(inflated.Length * 2L, maxBytes + 1L));
                    inflated.AsSpan(0, length).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(inflated);
                    inflated = larger;
                }

                var read = gzip.Read(inflated, length, inflated.Length - length);
                if (read == 0)
                {
                    return new ReadOnlySequence<byte>(inflated, 0, length);
                }

                length += read;
                if (length > maxBytes)
                {
                    throw TooLarge(length);
                }
            }
        }
        catch (InvalidDataException broken)
        {
            throw new GrpcException(GrpcStatus.InvalidArgument, "A message is marked as gzip and is not.", broken);
        }
    }
}
