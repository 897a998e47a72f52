namespace Slipway.Server.Configuration;

/// <summary>Finds what somebody meant: the known name with the fewest typing mistakes between.</summary>
internal static class NearestName
{
    public static string? Of(string name, IEnumerable<string> known)
    {
        // Beyond a third of its letters wrong it is another word.
        var limit = Math.Max(2, name.Length / 3);
        return known
            .Select(candidate => (candidate, distance: Distance(name.ToUpperInvariant(), candidate.ToUpperInvariant())))
            .Where(pair => pair.distance <= limit)
            .OrderBy(pair => pair.distance)
            .ThenBy(pair => pair.candidate, StringComparer.Ordinal)
            .Select(pair => pair.candidate)
            .FirstOrDefault();
    }

    // Levenshtein with one row. Names are short; input is cut so that a hostile key can't make it slow.
    private static int Distance(string left, string right)
    {
        left = left.Length > 128 ? left[..128] : left;
        var row = new int[right.Length + 1];
        for (var j = 0; j <= right.Length; j++)
        {
            row[j] = j;
        }

        for (var i = 1; i <= left.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= right.Length; j++)
            {
                var substitution = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substitution, 1 + Math.Min(row[j], row[j - 1]));
            }
        }

        return row[^1];
    }
}
