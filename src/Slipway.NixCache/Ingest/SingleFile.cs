using System.Security.Cryptography;
using Slipway.Content;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>Hashes the contents of a stored NAR that is one regular file.</summary>
internal static class SingleFile
{
    /// <returns>The hash, or null when the NAR is not a single file.</returns>
    public static async Task<byte[]?> HashAsync(IncrementalHash hash, IContentStore store, VerifiedNar nar, CancellationToken cancellationToken)
    {
        using var parser = new NarParser();
        long position = 0;
        await StoredNar.ReadAsync(store, nar, bytes =>
        {
            // Where the contents lie is known once the fields before them are parsed, so never too late.
            parser.Append(bytes);
            if (parser.RootContents is var (offset, size))
            {
                var from = Math.Clamp(offset - position, 0, bytes.Length);
                var to = Math.Clamp(offset + size - position, 0, bytes.Length);
                hash.AppendData(bytes[(int)from..(int)to]);
            }

            position += bytes.Length;
        }, cancellationToken);
        return parser.RootIsRegularFile ? hash.GetHashAndReset() : null;
    }
}
