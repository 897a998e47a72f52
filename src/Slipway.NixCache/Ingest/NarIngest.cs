using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography;
using Slipway.Content;
using Slipway.Native;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>What the bytes of an uploaded NAR file turned out to be. Nothing in here was claimed by the client.</summary>
internal sealed record VerifiedNar(
    Digest FileHash,
    long FileSize,
    CompressionFormat Compression,
    NixHash NarHash,
    long NarSize,
    byte[] Listing,
    byte[]? Candidates);

/// <summary>
/// Takes one compressed NAR as it arrives and finds out everything about it in a single pass.
/// </summary>
/// <remarks>
/// <code>
/// bytes ─┬─► content store upload (SHA-256 of the file, temporary until committed)
///        └─► decompressor ─┬─► SHA-256      → NarHash, NarSize
///                          ├─► NarParser    → grammar, listing with offsets
///                          └─► ReferenceScanner → every store path hash the bytes spell
/// </code>
/// The compressed bytes are kept as they came: recompressing costs more CPU than all of the above together (zstd -3 at about
/// 130 MB/s against SHA-256 at 390 MB/s), and the signature does not cover them. Memory is one output buffer and the
/// decompressor's window, whatever the size of the NAR.
/// Not safe for concurrent use; disposing without <see cref="CommitAsync"/> discards the upload.
/// </remarks>
internal sealed class NarIngest : IAsyncDisposable
{
    /// <summary>Output of one decompression step. 256 KiB keeps the per-call costs of four consumers under 1 %.</summary>
    private const int BufferBytes = 256 << 10;

    private readonly IContentUpload _upload;
    private readonly CompressionFormat _compression;
    private readonly Decompressor _decompressor;
    private readonly IncrementalHash _narHash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly NarParser _parser = new();
    private readonly ReferenceScanner _scanner = new();
    private readonly byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
    private readonly long _maxNarBytes;
    private readonly long _maxFileBytes;

    private NarIngest(IContentUpload upload, CompressionFormat compression, NixCacheOptions options)
    {
        _upload = upload;
        _compression = compression;
        _decompressor = Decompressor.Create(compression, new DecompressionLimits(MaxWindowLog: 27, MaxMemoryBytes: 128 << 20));
        _maxNarBytes = options.MaxNarBytes;
        _maxFileBytes = options.MaxFileBytes;
    }

    public static async ValueTask<NarIngest> BeginAsync(
        IContentStore store, CompressionFormat compression, long? expectedBytes, NixCacheOptions options, CancellationToken cancellationToken) =>
        new(await store.BeginUploadAsync(expectedBytes, cancellationToken), compression, options);

    /// <summary>Takes the next bytes of the file.</summary>
    /// <exception cref="NarRejectedException">The bytes are not what they have to be.</exception>
    public async ValueTask AppendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (_upload.BytesWritten + bytes.Length > _maxFileBytes)
        {
            throw NarRejectedException.TooLarge($"The file is larger than the {_maxFileBytes:N0} bytes this server accepts.");
        }

        await _upload.WriteAsync(bytes, cancellationToken);
        try
        {
            Inspect(bytes.Span);
        }
        catch (Exception exception) when (exception is InvalidDataException or DecompressionLimitException or NarFormatException)
        {
            throw NarRejectedException.Because(exception.Message, exception);
        }
    }

    /// <summary>Reads <paramref name="body"/> to its end.</summary>
    public async Task AppendAllAsync(PipeReader body, CancellationToken cancellationToken)
    {
        while (true)
        {
            var read = await body.ReadAsync(cancellationToken);
            foreach (var segment in read.Buffer)
            {
                await AppendAsync(segment, cancellationToken);
            }

            body.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                return;
            }
        }
    }

    /// <summary>Checks that the NAR is complete, then makes the file durable and visible in the store.</summary>
    /// <param name="expected">The file hash the client named, if it did.</param>
    public async Task<VerifiedNar> CommitAsync(Digest? expected, CancellationToken cancellationToken)
    {
        if (!_decompressor.AtEnd)
        {
            throw NarRejectedException.Because("The compressed file ends in the middle: the upload was cut short.");
        }

        try
        {
            _parser.Complete();
        }
        catch (NarFormatException exception)
        {
            throw NarRejectedException.Because(exception.Message, exception);
        }

        Digest fileHash;
        var fileSize = _upload.BytesWritten;
        try
        {
            fileHash = await _upload.CommitAsync(expected, cancellationToken);
        }
        catch (ContentStoreException exception) when (exception.Failure == ContentFailure.DigestMismatch)
        {
            throw NarRejectedException.Because("The file does not have the hash its name says.", exception);
        }

        var candidates = _scanner.Overflowed ? null : Concatenate(_scanner.Found);
        return new VerifiedNar(
            fileHash, fileSize, _compression, new NixHash(Digest.FromBytes(_narHash.GetCurrentHash())), _parser.Size,
            CompressedListing.Of(_parser.Listing), candidates);
    }

    public async ValueTask DisposeAsync()
    {
        await _upload.DisposeAsync();
        _decompressor.Dispose();
        _parser.Dispose();
        _narHash.Dispose();
        ArrayPool<byte>.Shared.Return(_buffer);
    }

    private void Inspect(ReadOnlySpan<byte> input)
    {
        while (true)
        {
            var step = _decompressor.Decompress(input, _buffer.AsSpan(0, BufferBytes));
            var nar = _buffer.AsSpan(0, step.Written);
            // Checked as it grows, so that a bomb costs no more than the limit.
            if (_parser.Size + nar.Length > _maxNarBytes)
            {
                throw NarRejectedException.TooLarge($"The NAR is larger than the {_maxNarBytes:N0} bytes this server accepts.");
            }

            _narHash.AppendData(nar);
            _parser.Append(nar);
            _scanner.Append(nar);
            input = input[step.Consumed..];
            // A full output buffer may mean that more is waiting inside the decompressor.
            if (input.IsEmpty && step.Written < BufferBytes)
            {
                return;
            }
        }
    }

    private static byte[] Concatenate(IReadOnlyCollection<StorePathHash> hashes)
    {
        var bytes = new byte[hashes.Count * StorePathHash.Size];
        var at = 0;
        foreach (var hash in hashes)
        {
            hash.AsSpan().CopyTo(bytes.AsSpan(at));
            at += StorePathHash.Size;
        }

        return bytes;
    }
}
