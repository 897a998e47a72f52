namespace Slipway.Chaos.Scenarios;

/// <summary>One line of the fault matrix.</summary>
/// <param name="Id">F1–F28, as docs/chaos.md has them.</param>
/// <param name="Quick">In the quick half.</param>
/// <param name="Where"><c>processes</c>: workers and producers are processes of their own. <c>in-process</c>: they are inside this one,
/// where nothing is done to them as processes; Redis and the network between are real in either case.</param>
internal sealed record Scenario(string Id, string Title, bool Quick, string Where, Func<Stage, Task> Run)
{
    /// <summary>By its id, or by that of the line it is a variant of: F6 means F6, F6E and F6N.</summary>
    public bool IsMeantBy(string word) =>
        Id.StartsWith(word, StringComparison.OrdinalIgnoreCase) && (Id.Length == word.Length || (char.IsAsciiDigit(word[^1]) && char.IsAsciiLetter(Id[word.Length])));
}
