using System.Runtime.InteropServices;

namespace Slipway.Native;

/// <summary>bzip2 streams one after another. The format itself bounds the decoder's memory to 4 MB.</summary>
internal sealed unsafe partial class Bzip2Decompressor : Decompressor
{
    private const string Library = "libbz2.so.1.0";

    // bzlib.h
    private const int Ok = 0;
    private const int StreamEnd = 4;
    private const int MemoryError = -3;

    private readonly StreamHandle stream = new();
    private bool betweenStreams = true;
    private bool anyStream;

    public override bool AtEnd => betweenStreams && anyStream;

    public override CodecResult Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (betweenStreams)
        {
            if (input.IsEmpty)
            {
                return default;
            }

            if (input[0] != (byte)'B')
            {
                throw new InvalidDataException(anyStream
                    ? "Garbage after the last bzip2 stream."
                    : "Not bzip2: the data doesn't start with a bzip2 stream.");
            }

            this.stream.Start();
            betweenStreams = false;
        }

        fixed (byte* source = input)
        fixed (byte* destination = output)
        {
            var stream = this.stream.Pointer;
            stream->NextIn = source;
            stream->AvailableIn = (uint)input.Length;
            stream->NextOut = destination;
            stream->AvailableOut = (uint)output.Length;
            var result = BZ2_bzDecompress(stream);
            var consumed = input.Length - (int)stream->AvailableIn;
            var written = output.Length - (int)stream->AvailableOut;
            GC.KeepAlive(this.stream);
            switch (result)
            {
                case Ok:
                    return new CodecResult(consumed, written, FrameEnded: false);
                case StreamEnd:
                    this.stream.Stop();
                    betweenStreams = true;
                    anyStream = true;
                    return new CodecResult(consumed, written, FrameEnded: true);
                case MemoryError:
                    throw new DecompressionLimitException("There is not enough memory for the bzip2 decoder.");
                default:
                    throw new InvalidDataException("Corrupt bzip2 data.");
            }
        }
    }

    private protected override void Dispose(bool disposing) => stream.Dispose();

    [LibraryImport(Library)]
    private static partial int BZ2_bzDecompressInit(Stream* stream, int verbosity, int small);

    [LibraryImport(Library)]
    private static partial int BZ2_bzDecompress(Stream* stream);

    [LibraryImport(Library)]
    private static partial int BZ2_bzDecompressEnd(Stream* stream);

    /// <summary>bz_stream of bzlib.h.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Stream
    {
        public byte* NextIn;
        public uint AvailableIn;
        public uint TotalInLow;
        public uint TotalInHigh;
        public byte* NextOut;
        public uint AvailableOut;
        public uint TotalOutLow;
        public uint TotalOutHigh;
        public void* State;
        public void* Allocate;
        public void* Free;
        public void* Opaque;
    }

    // The library keeps the address of the stream it was started with, so the struct can't live in a movable object.
    private sealed class StreamHandle : SafeHandle
    {
        private bool started;

        public StreamHandle()
            : base(0, ownsHandle: true) => SetHandle((nint)NativeMemory.AllocZeroed((nuint)sizeof(Stream)));

        public override bool IsInvalid => handle == 0;

        public Stream* Pointer
        {
            get
            {
                ObjectDisposedException.ThrowIf(IsClosed, typeof(Bzip2Decompressor));
                return (Stream*)handle;
            }
        }

        public void Start()
        {
            NativeMemory.Clear(Pointer, (nuint)sizeof(Stream));
            if (BZ2_bzDecompressInit(Pointer, 0, 0) != Ok)
            {
                throw new DecompressionLimitException("There is not enough memory for the bzip2 decoder.");
            }

            started = true;
        }

        public void Stop()
        {
            started = false;
            BZ2_bzDecompressEnd(Pointer);
        }

        protected override bool ReleaseHandle()
        {
            if (started)
            {
                BZ2_bzDecompressEnd((Stream*)handle);
            }

            NativeMemory.Free((void*)handle);
            return true;
        }
    }
}
