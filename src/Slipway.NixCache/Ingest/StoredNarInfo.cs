using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>Reads narinfos we wrote ourselves.</summary>
internal static class StoredNarInfo
{
    /// <exception cref="InvalidDataException">The stored text is damaged; fsck names the path.</exception>
    public static NarInfo Read(ReadOnlySpan<byte> text) => NarInfo.TryParse(text, out var info, out var fault)
        ? info
        : throw new InvalidDataException($"A stored narinfo is damaged: {fault}");
}
