namespace Slipway.Queue;

/// <summary>What happens to slots of a schedule that passed while nobody was there to fire them.</summary>
public readonly record struct CatchUp
{
    private CatchUp(int most) => Most = most;

    /// <summary>They are skipped.</summary>
    public static CatchUp None => new(0);

    /// <summary>The last one is fired.</summary>
    public static CatchUp Once => new(1);

    /// <summary>The last <paramref name="most"/> are fired, oldest first.</summary>
    public static CatchUp All(int most)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(most, 1);
        // What is to be caught up is found slot by slot.
        ArgumentOutOfRangeException.ThrowIfGreaterThan(most, 10_000);
        return new(most);
    }

    internal int Most { get; }
}
