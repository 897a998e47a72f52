using System.Collections.Concurrent;

namespace Slipway.Jobs.Working;

/// <summary>Workers over HTTP that gave a sign of life, until it is told to the queue.</summary>
internal sealed class SeenWorkers
{
    /// <summary>Told at once; the dashboard shows no more.</summary>
    private const int MostWorkers = 500;

    private readonly ConcurrentDictionary<string, string> seen = new(StringComparer.Ordinal);

    /// <param name="about">What it says of itself; null: it only leased.</param>
    public void Seen(string? name, string? about = null)
    {
        if (name is not null && (seen.ContainsKey(name) || seen.Count < MostWorkers))
        {
            seen.AddOrUpdate(name, about ?? "", (_, before) => about ?? before);
        }
    }

    public IReadOnlyList<(string Name, string About)> Take() =>
        [.. seen.Keys.Select(name => seen.TryRemove(name, out var about) ? (name, about) : (name, ""))];
}
