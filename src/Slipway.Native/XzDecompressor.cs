using System.Runtime.InteropServices;

namespace Slipway.Native;

/// <summary>
/// .xz streams one after another, with stream padding between and after them (xz file format 1.2.0, section 2.2). Streams are
/// decoded one by one instead of with liblzma's LZMA_CONCATENATED, which says where a file ends only when told that it does.
/// </summary>
internal sealed unsafe partial class XzDecompressor : Decompressor
{
    private const string Library = "liblzma.so.5";

    // lzma_ret of lzma/base.h
    private const int Ok = 0;
    private const int StreamEnd = 1;
    private const int MemoryError = 5;
    private const int MemoryLimitError = 6;
    private const int FormatError = 7;
    private const int OptionsError = 8;
    private const int BufferError = 10;

    private const int Run = 0;

    private readonly StreamHandle stream = new();
    private readonly ulong memoryLimit;
    private bool betweenStreams = true;
    private bool anyStream;
    private int padding;

    public XzDecompressor(DecompressionLimits limits) => memoryLimit = (ulong)Math.Max(1, limits.MaxMemoryBytes);

    // Stream padding is zero bytes in multiples of four.
    public override bool AtEnd => betweenStreams && anyStream && padding == 0;

    public override CodecResult Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        var skipped = 0;
        if (betweenStreams)
        {
            skipped = SkipPadding(input);
            input = input[skipped..];
            if (input.IsEmpty)
            {
                return new CodecResult(skipped, 0, FrameEnded: false);
            }

            if (input[0] != 0xFD || padding != 0)
            {
                throw new InvalidDataException(anyStream ? "Garbage after the last xz stream." : "Not xz: the data doesn't start with an xz stream.");
            }

            Start();
        }

        fixed (byte* source = input)
        fixed (byte* destination = output)
        {
            var stream = this.stream.Pointer;
            stream->NextIn = source;
            stream->AvailableIn = (nuint)input.Length;
            stream->NextOut = destination;
            stream->AvailableOut = (nuint)output.Length;
            var result = lzma_code(stream, Run);
            var consumed = input.Length - (int)stream->AvailableIn;
            var written = output.Length - (int)stream->AvailableOut;
            GC.KeepAlive(this.stream);
            switch (result)
            {
                case Ok:
                case BufferError: // no progress was possible: more input or more room is needed
                    return new CodecResult(skipped + consumed, written, FrameEnded: false);
                case StreamEnd:
                    betweenStreams = true;
                    anyStream = true;
                    return new CodecResult(skipped + consumed, written, FrameEnded: true);
                default:
                    throw Failure(result);
            }
        }
    }

    private protected override void Dispose(bool disposing) => stream.Dispose();

    private int SkipPadding(ReadOnlySpan<byte> input)
    {
        if (!anyStream)
        {
            return 0;
        }

        var zeros = input.IndexOfAnyExcept((byte)0);
        zeros = zeros < 0 ? input.Length : zeros;
        padding = (padding + zeros) % 4;
        return zeros;
    }

    private void Start()
    {
        // On a stream that was used before this frees or reuses what it held.
        var result = lzma_stream_decoder(stream.Pointer, memoryLimit, 0);
        GC.KeepAlive(stream);
        if (result != Ok)
        {
            throw Failure(result);
        }

        betweenStreams = false;
    }

    private static Exception Failure(int result) => result switch
    {
        MemoryLimitError => new DecompressionLimitException("The xz stream needs more memory (a larger dictionary) than is allowed here."),
        MemoryError => new DecompressionLimitException("There is not enough memory for the dictionary of the xz stream."),
        FormatError => new InvalidDataException("Not xz: the data doesn't start with an xz stream."),
        OptionsError => new InvalidDataException("The xz stream uses options that this liblzma doesn't know."),
        _ => new InvalidDataException("Corrupt xz data."),
    };

    [LibraryImport(Library)]
    private static partial int lzma_stream_decoder(Stream* stream, ulong memoryLimit, uint flags);

    [LibraryImport(Library)]
    private static partial int lzma_code(Stream* stream, int action);

    [LibraryImport(Library)]
    private static partial void lzma_end(Stream* stream);

    /// <summary>lzma_stream of lzma/base.h.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Stream
    {
        public byte* NextIn;
        public nuint AvailableIn;
        public ulong TotalIn;
        public byte* NextOut;
        public nuint AvailableOut;
        public ulong TotalOut;
        public void* Allocator;
        public void* Internal;
        public fixed ulong Reserved[9];
    }

    private sealed class StreamHandle : SafeHandle
    {
        public StreamHandle()
            : base(0, ownsHandle: true) => SetHandle((nint)NativeMemory.AllocZeroed((nuint)sizeof(Stream)));

        public override bool IsInvalid => handle == 0;

        public Stream* Pointer
        {
            get
            {
                ObjectDisposedException.ThrowIf(IsClosed, typeof(XzDecompressor));
                return (Stream*)handle;
            }
        }

        protected override bool ReleaseHandle()
        {
            lzma_end((Stream*)handle);
            NativeMemory.Free((void*)handle);
            return true;
        }
    }
}
