using Slipway.Content;
using Slipway.NixCache.Formats;

namespace Slipway.NixCache;

/// <summary>
/// Compares the references a client claims with what the NAR's bytes spell, as Nix itself does after a build.
/// </summary>
internal static class UndeclaredReferences
{
    /// <param name="isPath">Whether a hash is a path of the cache: only those can be forgotten references.</param>
    /// <returns>Hashes of paths that the bytes name and the claim leaves out.</returns>
    public static async Task<IReadOnlyList<string>> FindAsync(
        NarInfo claimed, VerifiedNar nar, Func<StorePathHash, bool> isPath, IContentStore store, CancellationToken cancellationToken)
    {
        var declared = claimed.References.Select(reference => reference.Hash).Append(claimed.StorePath.Hash).ToHashSet();
        bool IsForgotten(StorePathHash hash) => !declared.Contains(hash) && isPath(hash);

        // No candidates kept: a narinfo was checked against this file before, or it spells too many to keep.
        var found = nar.Candidates is { } candidates
            ? Known(candidates).Where(IsForgotten)
            : await ScanAgainAsync(nar, IsForgotten, store, cancellationToken);
        return [.. found.Distinct().Select(hash => hash.ToString())];
    }

    private static IEnumerable<StorePathHash> Known(byte[] candidates)
    {
        for (var at = 0; at < candidates.Length; at += StorePathHash.Size)
        {
            yield return new StorePathHash(candidates.AsSpan(at, StorePathHash.Size));
        }
    }

    private static async Task<IEnumerable<StorePathHash>> ScanAgainAsync(
        VerifiedNar nar, Func<StorePathHash, bool> isForgotten, IContentStore store, CancellationToken cancellationToken)
    {
        var scanner = new ReferenceScanner(isForgotten);
        await StoredNar.ReadAsync(store, nar, bytes => scanner.Append(bytes), cancellationToken);
        return scanner.Found;
    }
}
