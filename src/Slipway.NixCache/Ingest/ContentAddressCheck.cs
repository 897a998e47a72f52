using System.Security.Cryptography;
using Slipway.Content;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>
/// A path that says it is content-addressed needs no signature for clients to trust it, so the claim is checked: the address
/// must be that of the bytes, and the store path that of the address.
/// </summary>
/// <remarks>
/// The bytes of a path that refers to itself are not compared: its address is taken over rewritten bytes. Its name is still
/// checked, and clients check the bytes as well.
/// </remarks>
internal static class ContentAddressCheck
{
    public static async Task RequireAsync(NarInfo claimed, VerifiedNar nar, IContentStore store, CancellationToken cancellationToken)
    {
        if (claimed.ContentAddress is not { } address)
        {
            return;
        }

        var self = claimed.References.Any(reference => reference.Hash == claimed.StorePath.Hash);
        var references = claimed.References.Where(reference => reference.Hash != claimed.StorePath.Hash);
        var expected = address.ComputeStorePath(claimed.StorePath.Name, references, self);
        if (expected != claimed.StorePath)
        {
            throw NarRejectedException.Because(expected is null
                ? $"CA '{address}' can't have these references."
                : $"CA '{address}' with these references belongs to {expected.FullPath}, not to {claimed.StorePath.FullPath}.");
        }

        if (self)
        {
            return;
        }

        var actual = address is { Method: ContentAddressMethod.Recursive, Algorithm: "sha256" }
            ? nar.NarHash.Digest.ToArray()
            : await HashAsync(address, nar, store, cancellationToken);
        if (!actual.AsSpan().SequenceEqual(address.Hash))
        {
            throw NarRejectedException.Because($"CA '{address}' is not the address of these contents.");
        }
    }

    /// <summary>Hashes the stored NAR again, in the address's algorithm: the NAR itself, or the one file it holds.</summary>
    private static async Task<byte[]> HashAsync(ContentAddress address, VerifiedNar nar, IContentStore store, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(address.Algorithm switch
        {
            "md5" => HashAlgorithmName.MD5,
            "sha1" => HashAlgorithmName.SHA1,
            "sha512" => HashAlgorithmName.SHA512,
            _ => HashAlgorithmName.SHA256,
        });
        if (address.Method == ContentAddressMethod.Recursive)
        {
            await StoredNar.ReadAsync(store, nar, hash.AppendData, cancellationToken);
            return hash.GetHashAndReset();
        }

        return await SingleFile.HashAsync(hash, store, nar, cancellationToken)
            ?? throw NarRejectedException.Because($"CA '{address}' is for a single file, but the NAR holds a directory or a link.");
    }
}
