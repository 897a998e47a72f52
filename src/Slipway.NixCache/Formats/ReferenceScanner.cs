namespace Slipway.NixCache.Formats;

/// <summary>
/// Collects everything in a stream of bytes that could be the hash of a store path: every run of 32 nix32 characters, as Nix does
/// when it finds out what a build result refers to. The caller keeps those that are paths it knows.
/// </summary>
/// <remarks>
/// <code>
///  …c o m p i l e d   i n   / n i x / s t o r e / g q 7 c 9 1 6 f …
///                                                ▲
///  look at the last character of a window of 32: when it is no nix32 character, no window over it can be one, and 32
///  bytes are skipped at once. In most binaries that is one look per 32 bytes.
/// </code>
/// Within a run each further character shifts the 160-bit number by one digit instead of reading 32 again, and a window that goes over the end of one span and into the next needs no copy of its bytes.
/// </remarks>
/// <param name="keep">When given, only candidates it says yes to are collected: a second look, at a file that spelled too many.</param>
internal sealed class ReferenceScanner(Func<StorePathHash, bool>? keep = null)
{
    /// <summary>Ours: far more than any real path refers to (some thousands), and 2 MB of memory at most.</summary>
    public const int MaxCandidates = 65_536;

    /// <summary>
    /// Ours: candidates looked up, repetitions counted. Real paths have some thousands; a file made to hold the scanner up (nothing
    /// but nix32 characters, repeating at a distance) costs about 80 ns a byte, so this bounds it to some 1.5 CPU seconds.
    /// </summary>
    public const int MaxLookups = 16 << 20;

    private const int Window = StorePathHash.TextLength;

    private readonly HashSet<StorePathHash> found = [];

    // The run of nix32 characters that the bytes so far end with: its length (only "32 or more" counts from there on) and the
    // number that its last 32 characters spell.
    private int run;
    private ulong low;
    private ulong middle;
    private uint high;

    private StorePathHash last;
    private int lookups;

    /// <summary>Every distinct candidate, in no order.</summary>
    public IReadOnlyCollection<StorePathHash> Found => found;

    /// <summary>
    /// There were more than <see cref="MaxCandidates"/> (or <see cref="MaxLookups"/>); the scan stopped there, so
    /// <see cref="Found"/> is not all.
    /// </summary>
    public bool Overflowed { get; private set; }

    public bool Contains(StorePathHash hash) => found.Contains(hash);

    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (Overflowed)
        {
            return;
        }

        var digits = Nix32.DigitOf;
        var start = run > 0 ? ContinueRun(bytes, 0) : 0;

        // Here the byte before start belongs to no run, or there is none.
        while (start + Window <= bytes.Length)
        {
            var last = start + Window - 1;
            if (digits[bytes[last]] == Nix32.NoDigit)
            {
                start = last + 1;
                continue;
            }

            var before = last - 1;
            while (before >= start && digits[bytes[before]] != Nix32.NoDigit)
            {
                before--;
            }

            if (before >= start)
            {
                start = before + 1;
                continue;
            }

            start = ContinueRun(bytes, start);
        }

        if (start < bytes.Length)
        {
            var runStart = bytes.Length;
            while (runStart > start && digits[bytes[runStart - 1]] != Nix32.NoDigit)
            {
                runStart--;
            }

            ContinueRun(bytes, runStart);
        }
    }

    /// <summary>Goes on with the current run from <paramref name="position"/>; returns where the first byte after the run's end is.</summary>
    private int ContinueRun(ReadOnlySpan<byte> bytes, int position)
    {
        var digits = Nix32.DigitOf;
        for (; position < bytes.Length; position++)
        {
            var digit = digits[bytes[position]];
            if (digit == Nix32.NoDigit)
            {
                run = 0;
                return position + 1;
            }

            high = (high << 5) | (uint)(middle >> 59);
            middle = (middle << 5) | (low >> 59);
            low = (low << 5) | digit;
            if (run < Window - 1)
            {
                run++;
                continue;
            }

            run = Window;
            Add(new StorePathHash(low, middle, high));
            if (Overflowed)
            {
                return bytes.Length;
            }
        }

        return position;
    }

    private void Add(StorePathHash candidate)
    {
        // A fill of one character is the one long run that real files have.
        if (candidate == last && lookups > 0)
        {
            return;
        }

        last = candidate;
        if (++lookups > MaxLookups)
        {
            Overflowed = true;
        }
        else if (keep?.Invoke(candidate) == false)
        {
            // Not asked for.
        }
        else if (found.Count < MaxCandidates)
        {
            found.Add(candidate);
        }
        else if (!found.Contains(candidate))
        {
            Overflowed = true;
        }
    }
}
