using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Slipway.Chaos.Accounting;

internal enum OfferKind
{
    /// <summary>A place whose writer was killed before it wrote.</summary>
    Empty,

    /// <summary>About to be enqueued: from here on its execution is no ghost.</summary>
    Offered,

    /// <summary>The server said that it has them: from here on they must not be lost.</summary>
    Acknowledged,

    /// <summary>Certainly not enqueued: a typed refusal, or never sent. Their execution would be a ghost.</summary>
    Refused,
}

/// <summary>What a producer knows of <see cref="Count"/> ids in a row. Times are of CLOCK_MONOTONIC, which all processes share.</summary>
internal struct OfferRecord
{
    public ulong First;
    public int Count;
    public OfferKind Kind;
    public long At;
}

internal enum RunOutcome
{
    Empty,

    /// <summary>Began; stays so when its process dies.</summary>
    Started,
    Succeeded,
    Failed,

    /// <summary>Its token was cancelled, and it gave up.</summary>
    Cancelled,
}

/// <summary>One execution of one job.</summary>
internal struct RunRecord
{
    public ulong Id;

    /// <summary>Fencing token of its block.</summary>
    public long Token;
    public long Start;
    public long End;

    /// <summary>1 for the first; failed runs before it are counted, lost leases are not.</summary>
    public int Attempt;
    public RunOutcome Outcome;
}

/// <summary>The kind is written last: a record that has one is whole.</summary>
internal static class OfferRecords
{
    public static void Write(ref OfferRecord record, OfferKind kind, ulong first, int count)
    {
        record.First = first;
        record.Count = count;
        record.At = Moments.Now;
        Volatile.Write(ref Unsafe.As<OfferKind, int>(ref record.Kind), (int)kind);
    }
}

/// <summary>The outcome is written last: a record that has one is whole.</summary>
internal static class RunRecords
{
    public static void Publish(ref RunRecord record, RunOutcome outcome) => Volatile.Write(ref Unsafe.As<RunOutcome, int>(ref record.Outcome), (int)outcome);

    public static void End(ref RunRecord record, RunOutcome outcome)
    {
        record.End = Moments.Now;
        Publish(ref record, outcome);
    }
}

/// <summary>Ids of jobs: who enqueued it, and the how manieth of its it was.</summary>
internal static class JobNumbers
{
    private const int SequenceBits = 40;

    public static ulong Of(int producer, long sequence) => ((ulong)producer << SequenceBits) | (ulong)sequence;

    public static int ProducerOf(ulong id) => (int)(id >> SequenceBits);

    public static long SequenceOf(ulong id) => (long)(id & ((1UL << SequenceBits) - 1));

    public static string Show(ulong id) => $"{ProducerOf(id)}:{SequenceOf(id)}";
}

/// <summary>The clock of the records.</summary>
internal static class Moments
{
    public static long Now => Stopwatch.GetTimestamp();

    public static long Ticks(TimeSpan span) => (long)(span.TotalSeconds * Stopwatch.Frequency);

    public static double Seconds(long ticks) => (double)ticks / Stopwatch.Frequency;

    public static double Milliseconds(long ticks) => ticks * 1000.0 / Stopwatch.Frequency;
}
