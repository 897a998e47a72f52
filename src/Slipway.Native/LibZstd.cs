using System.Runtime.InteropServices;

namespace Slipway.Native;

/// <summary>The part of libzstd (API of zstd.h, stable since 1.4.0) that is used here.</summary>
internal static unsafe partial class LibZstd
{
    public const int CompressionLevel = 100;
    public const int ChecksumFlag = 201;
    public const int Workers = 400;
    public const int MaxWindowLog = 100;

    public const int Continue = 0;
    public const int End = 2;

    // zstd_errors.h
    public const int WindowTooLarge = 16;
    public const int MemoryAllocation = 64;

    private const string Library = "libzstd.so.1";

    [LibraryImport(Library)]
    public static partial ZstdDecoderHandle ZSTD_createDCtx();

    [LibraryImport(Library)]
    public static partial nuint ZSTD_freeDCtx(nint context);

    [LibraryImport(Library)]
    public static partial nuint ZSTD_DCtx_setParameter(ZstdDecoderHandle context, int parameter, int value);

    [LibraryImport(Library)]
    public static partial nuint ZSTD_decompressStream(ZstdDecoderHandle context, OutBuffer* output, InBuffer* input);

    [LibraryImport(Library)]
    public static partial nuint ZSTD_decompressDCtx(ZstdDecoderHandle context, byte* destination, nuint capacity, byte* source, nuint size);

    [LibraryImport(Library)]
    public static partial nuint ZSTD_findFrameCompressedSize(byte* source, nuint size);

    [LibraryImport(Library)]
    public static partial ZstdEncoderHandle ZSTD_createCCtx();

    [LibraryImport(Library)]
    public static partial nuint ZSTD_freeCCtx(nint context);

    [LibraryImport(Library)]
    public static partial nuint ZSTD_CCtx_setParameter(ZstdEncoderHandle context, int parameter, int value);

    [LibraryImport(Library)]
    public static partial nuint ZSTD_compressStream2(ZstdEncoderHandle context, OutBuffer* output, InBuffer* input, int endOperation);

    [LibraryImport(Library)]
    public static partial int ZSTD_minCLevel();

    [LibraryImport(Library)]
    public static partial int ZSTD_maxCLevel();

    [LibraryImport(Library)]
    public static partial uint ZSTD_isError(nuint result);

    [LibraryImport(Library)]
    public static partial int ZSTD_getErrorCode(nuint result);

    [LibraryImport(Library)]
    private static partial nint ZSTD_getErrorName(nuint result);

    public static bool IsError(nuint result) => ZSTD_isError(result) != 0;

    public static string ErrorName(nuint result) => Marshal.PtrToStringUTF8(ZSTD_getErrorName(result)) ?? "unknown error";

    [StructLayout(LayoutKind.Sequential)]
    public struct InBuffer
    {
        public byte* Source;
        public nuint Size;
        public nuint Position;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct OutBuffer
    {
        public byte* Destination;
        public nuint Size;
        public nuint Position;
    }
}

internal sealed class ZstdDecoderHandle() : SafeHandle(0, ownsHandle: true)
{
    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle() => !LibZstd.IsError(LibZstd.ZSTD_freeDCtx(handle));
}

internal sealed class ZstdEncoderHandle() : SafeHandle(0, ownsHandle: true)
{
    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle() => !LibZstd.IsError(LibZstd.ZSTD_freeCCtx(handle));
}
