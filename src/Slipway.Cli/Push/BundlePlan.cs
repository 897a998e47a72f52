using System.Security.Cryptography;
using System.Text;
using Slipway.Cli.Nix;

namespace Slipway.Cli.Push;

/// <summary>Paths that travel in one archive, references before referrers.</summary>
/// <param name="Needs">Indexes of the bundles that hold paths these refer to.</param>
internal sealed record Bundle(int Index, IReadOnlyList<PathInfo> Paths, IReadOnlyList<int> Needs)
{
    public long NarBytes { get; } = Paths.Sum(path => path.NarSize);
}

/// <summary>
/// Cuts a closure into bundles.
/// <code>
/// level 0 (refers to nothing)   [a b c d] [e f g] [H]      independent: in parallel
/// level 1                       [i j k] [L]                wait for those they need
/// </code>
/// Small paths share an archive, since each archive costs a few round trips; a path over <see cref="MaxBytes"/> goes alone. Where a
/// bundle ends is decided by the paths' own hashes, over the whole closure: a later run, with some bundles pushed, cuts the rest the
/// same way and so finds its unfinished uploads again.
/// </summary>
internal static class BundlePlan
{
    public const long MaxBytes = 8L << 20;
    public const int MaxPaths = 256;

    /// <summary>One path in 128 ends a bundle, whatever comes before it.</summary>
    private const int CutEvery = 128;

    public static List<Bundle> Of(IReadOnlyList<PathInfo> closure, IReadOnlySet<string> missingHashes)
    {
        var ordered = InOrder(closure);
        var bundleOf = new Dictionary<string, int>(StringComparer.Ordinal);
        var bundles = new List<Bundle>();
        foreach (var group in Cut(ordered))
        {
            var paths = group.Where(path => missingHashes.Contains(StorePathName.HashOf(path.StorePath))).ToList();
            if (paths.Count == 0)
            {
                continue;
            }

            var index = bundles.Count;
            foreach (var path in paths)
            {
                bundleOf[path.StorePath] = index;
            }

            var needs = paths.SelectMany(path => path.References).Where(bundleOf.ContainsKey).Select(reference => bundleOf[reference]).Where(need => need != index);
            bundles.Add(new Bundle(index, paths, [.. needs.Distinct().Order()]));
        }

        return bundles;
    }

    private static IEnumerable<List<PathInfo>> Cut(IReadOnlyList<PathInfo> ordered)
    {
        var group = new List<PathInfo>();
        long bytes = 0;
        foreach (var path in ordered)
        {
            if (group.Count > 0 && (bytes + path.NarSize > MaxBytes || group.Count == MaxPaths))
            {
                yield return group;
                (group, bytes) = ([], 0);
            }

            group.Add(path);
            bytes += path.NarSize;
            if (SHA256.HashData(Encoding.UTF8.GetBytes(path.StorePath))[0] % CutEvery == 0)
            {
                yield return group;
                (group, bytes) = ([], 0);
            }
        }

        if (group.Count > 0)
        {
            yield return group;
        }
    }

    /// <summary>By level (one more than the highest it refers to), then by name. References outside the closure count as nothing.</summary>
    private static List<PathInfo> InOrder(IReadOnlyList<PathInfo> closure)
    {
        var byPath = closure.ToDictionary(path => path.StorePath, StringComparer.Ordinal);
        var waitingFor = new Dictionary<string, int>(StringComparer.Ordinal);
        var referrers = new Dictionary<string, List<PathInfo>>(StringComparer.Ordinal);
        foreach (var path in closure)
        {
            var others = path.References.Where(reference => reference != path.StorePath && byPath.ContainsKey(reference)).Distinct(StringComparer.Ordinal).ToList();
            waitingFor[path.StorePath] = others.Count;
            foreach (var other in others)
            {
                (referrers.TryGetValue(other, out var list) ? list : referrers[other] = []).Add(path);
            }
        }

        var ordered = new List<PathInfo>(closure.Count);
        var level = closure.Where(path => waitingFor[path.StorePath] == 0).ToList();
        while (level.Count > 0)
        {
            level.Sort(static (a, b) => string.CompareOrdinal(a.StorePath, b.StorePath));
            ordered.AddRange(level);
            var next = new List<PathInfo>();
            foreach (var referrer in level.SelectMany(path => referrers.GetValueOrDefault(path.StorePath) ?? []))
            {
                if (--waitingFor[referrer.StorePath] == 0)
                {
                    next.Add(referrer);
                }
            }

            level = next;
        }

        return ordered.Count == closure.Count ? ordered : throw new InvalidDataException("the references of the closure form a ring");
    }
}
