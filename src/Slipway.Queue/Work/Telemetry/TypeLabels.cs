using System.Collections.Concurrent;
using System.Globalization;

namespace Slipway.Queue.Work;

/// <summary>Job types as metric labels: known ones by name, all others in 16 buckets, so that no producer can grow a metric without end.</summary>
internal sealed class TypeLabels
{
    private const int Buckets = 16;

    /// <summary>Reasons come from exceptions' types and from us: few in a sane program, and bounded in any.</summary>
    private const int MaxReasons = 100;

    private static readonly KeyValuePair<string, object?>[] Others =
        [.. Enumerable.Range(0, Buckets).Select(bucket => new KeyValuePair<string, object?>("type", string.Create(CultureInfo.InvariantCulture, $"other-{bucket:00}")))];

    private static readonly ConcurrentDictionary<string, string> Reasons = new(StringComparer.Ordinal);

    private readonly ConcurrentDictionary<string, KeyValuePair<string, object?>> known = new(StringComparer.Ordinal);

    public TypeLabels(IEnumerable<string> types)
    {
        foreach (string type in types)
        {
            Know(type);
        }
    }

    public void Know(string type)
    {
        if (!known.ContainsKey(type))
        {
            known[type] = new("type", type);
        }
    }

    public KeyValuePair<string, object?> Of(string type) =>
        known.TryGetValue(type, out KeyValuePair<string, object?> label) ? label : Others[BucketOf(type)];

    public static string OfReason(string reason) =>
        Reasons.ContainsKey(reason) || (Reasons.Count < MaxReasons && Reasons.TryAdd(reason, reason)) ? reason : "other";

    /// <summary>FNV-1a: the same bucket in every process, which <see cref="string.GetHashCode()"/> is not.</summary>
    private static int BucketOf(string type)
    {
        uint hash = 2166136261;
        foreach (char c in type)
        {
            hash = (hash ^ c) * 16777619;
        }

        return (int)(hash % Buckets);
    }
}
