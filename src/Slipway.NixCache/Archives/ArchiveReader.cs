using System.Buffers.Binary;
using System.Text.Json;
using Slipway.Api;

namespace Slipway.NixCache;

/// <summary>
/// Reads a push archive (<see cref="ArchiveFormat"/>) from a file, entry by entry, chunk by chunk. What is malformed is the
/// client's mistake and names the offset.
/// </summary>
internal sealed class ArchiveReader(Stream archive)
{
    private readonly byte[] length = new byte[4];
    private readonly byte[] chunk = new byte[ArchiveFormat.MaxChunkBytes];
    private bool inEntry;

    public async Task ReadMagicAsync(CancellationToken cancellationToken)
    {
        var magic = new byte[ArchiveFormat.Magic.Length];
        if (await archive.ReadAtLeastAsync(magic, magic.Length, throwOnEndOfStream: false, cancellationToken) != magic.Length
            || !ArchiveFormat.Magic.SequenceEqual(magic))
        {
            throw NarRejectedException.Because("This is not a push archive: it does not start with \"slipway-archive-1\".");
        }
    }

    /// <summary>The next entry, or null at the end. The chunks of the one before are skipped if they were not read.</summary>
    public async Task<ArchiveEntry?> NextEntryAsync(CancellationToken cancellationToken)
    {
        while (inEntry)
        {
            await NextChunkAsync(cancellationToken);
        }

        var at = archive.Position;
        if (await ReadLengthAsync(ArchiveFormat.MaxEntryBytes, mayEnd: true, cancellationToken) is not { } length)
        {
            return null;
        }

        var json = new byte[length];
        await ReadExactlyAsync(json, cancellationToken);
        inEntry = true;
        try
        {
            return JsonSerializer.Deserialize(json, ApiJson.Default.ArchiveEntry) ?? throw new JsonException("null is no entry");
        }
        catch (JsonException exception)
        {
            throw NarRejectedException.Because($"The archive entry at offset {at} is malformed: {exception.Message}", exception);
        }
    }

    /// <summary>The next bytes of the entry's compressed NAR; empty at its end. Valid until the next call.</summary>
    public async Task<ReadOnlyMemory<byte>> NextChunkAsync(CancellationToken cancellationToken)
    {
        var length = await ReadLengthAsync(ArchiveFormat.MaxChunkBytes, mayEnd: false, cancellationToken) ?? 0;
        if (length == 0)
        {
            inEntry = false;
            return default;
        }

        var chunk = this.chunk.AsMemory(0, length);
        await ReadExactlyAsync(chunk, cancellationToken);
        return chunk;
    }

    private async Task<int?> ReadLengthAsync(int most, bool mayEnd, CancellationToken cancellationToken)
    {
        var at = archive.Position;
        var read = await archive.ReadAtLeastAsync(this.length, this.length.Length, throwOnEndOfStream: false, cancellationToken);
        if (read == 0 && mayEnd)
        {
            return null;
        }

        if (read < this.length.Length)
        {
            throw CutShort();
        }

        var length = BinaryPrimitives.ReadUInt32LittleEndian(this.length);
        return length <= most
            ? (int)length
            : throw NarRejectedException.Because($"The length {length} at offset {at} of the archive is over the limit of {most}.");
    }

    private async Task ReadExactlyAsync(Memory<byte> into, CancellationToken cancellationToken)
    {
        if (await archive.ReadAtLeastAsync(into, into.Length, throwOnEndOfStream: false, cancellationToken) < into.Length)
        {
            throw CutShort();
        }
    }

    private static NarRejectedException CutShort() => NarRejectedException.Because("The archive ends in the middle of an entry.");
}
