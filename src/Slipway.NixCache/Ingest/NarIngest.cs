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
    byte[]? Candidates)
{
    /// <summary>It has its row already (and its listing there): stock nix sends NARs before narinfos.</summary>
    public bool IsStored => Listing.Length == 0;
}

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

    private readonly IContentUpload upload;
    private readonly CompressionFormat compression;
    private readonly Decompressor decompressor;
    private readonly IncrementalHash narHash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly NarParser parser = new();
    private readonly ReferenceScanner scanner = new();
    private readonly byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
    private readonly long maxBytes;

    private NarIngest(IContentUpload upload, CompressionFormat compression, NixCacheOptions options)
    {
        this.upload = upload;
        this.compression = compression;
        decompressor = Decompressor.Create(compression, new DecompressionLimits(MaxWindowLog: 27, MaxMemoryBytes: 128 << 20));
        maxBytes = options.MaxNarBytes;
    }

    public static async ValueTask<NarIngest> BeginAsync(
        IContentStore store, CompressionFormat compression, long? expectedBytes, NixCacheOptions options, CancellationToken cancellationToken) =>
        new(await store.BeginUploadAsync(expectedBytes, cancellationToken), compression, options);

    /// <summary>Takes the next bytes of the file.</summary>
    /// <exception cref="NarRejectedException">The bytes are not what they have to be.</exception>
    public async ValueTask AppendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (upload.BytesWritten + bytes.Length > maxBytes)
        {
            throw NarRejectedException.TooLarge($"The file is larger than the {maxBytes:N0} bytes this server accepts.");
        }

        await upload.WriteAsync(bytes, cancellationToken);
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
            try
            {
                foreach (var segment in read.Buffer)
                {
                    await AppendAsync(segment, cancellationToken);
                }
            }
            finally
            {
                // Also when the bytes are refused: Kestrel reads the rest away before it answers, and can't while these are out.
                body.AdvanceTo(read.Buffer.End);
            }

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
        if (!decompressor.AtEnd)
        {
            throw NarRejectedException.Because("The compressed file ends in the middle: the upload was cut short.");
        }

        try
        {
            parser.Complete();
        }
        catch (NarFormatException exception)
        {
            throw NarRejectedException.Because(exception.Message, exception);
        }

        Digest fileHash;
        var fileSize = upload.BytesWritten;
        try
        {
            fileHash = await upload.CommitAsync(expected, cancellationToken);
        }
        catch (ContentStoreException exception) when (exception.Failure == ContentFailure.DigestMismatch)
        {
            throw NarRejectedException.Because("The file does not have the hash its name says.", exception);
        }

        var candidates = scanner.Overflowed ? null : Concatenate(scanner.Found);
        return new VerifiedNar(
            fileHash, fileSize, compression, new NixHash(Digest.FromBytes(narHash.GetCurrentHash())), parser.Size,
            CompressedListing.Of(parser.Listing), candidates);
    }

    public async ValueTask DisposeAsync()
    {
        await upload.DisposeAsync();
        decompressor.Dispose();
        parser.Dispose();
        narHash.Dispose();
        ArrayPool<byte>.Shared.Return(buffer);
    }

    private void Inspect(ReadOnlySpan<byte> input)
    {
        while (true)
        {
            var step = decompressor.Decompress(input, buffer.AsSpan(0, BufferBytes));
            var nar = buffer.AsSpan(0, step.Written);
            // Checked as it grows, so that a bomb costs no more than the limit.
            if (parser.Size + nar.Length > maxBytes)
            {
                throw NarRejectedException.TooLarge($"The NAR is larger than the {maxBytes:N0} bytes this server accepts.");
            }

            narHash.AppendData(nar);
            parser.Append(nar);
            scanner.Append(nar);
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
