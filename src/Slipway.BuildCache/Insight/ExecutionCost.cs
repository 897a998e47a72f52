using Slipway.BuildCache.Wire;

namespace Slipway.BuildCache.Insight;

/// <summary>How long the action behind a result ran: what a hit saves.</summary>
internal static class ExecutionCost
{
    private const int Metadata = 9;

    // ExecutedActionMetadata, each a Timestamp or Duration {1 seconds, 2 nanos}.
    private const int WorkerStart = 3;
    private const int WorkerCompleted = 4;
    private const int ExecutionStart = 7;
    private const int ExecutionCompleted = 8;
    private const int VirtualDuration = 12;

    /// <summary>A longer one is a clock that went wrong.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromDays(7);

    /// <summary>Zero when the result does not tell, as those of Bazel before 5 do not.</summary>
    public static TimeSpan Of(ReadOnlySpan<byte> actionResult)
    {
        try
        {
            var reader = new ProtoReader(actionResult);
            while (reader.Next(out var field))
            {
                if (field == Metadata)
                {
                    return OfMetadata(reader.Bytes());
                }

                reader.Skip();
            }
        }
        catch (WireFormatException)
        {
            // Stored before it was checked, or over HTTP unchecked: not worth failing a hit for.
        }

        return TimeSpan.Zero;
    }

    private static TimeSpan OfMetadata(ReadOnlySpan<byte> metadata)
    {
        TimeSpan? workStart = null, workEnd = null, runStart = null, runEnd = null, told = null;
        var reader = new ProtoReader(metadata);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case WorkerStart:
                    workStart = Time(reader.Bytes());
                    break;
                case WorkerCompleted:
                    workEnd = Time(reader.Bytes());
                    break;
                case ExecutionStart:
                    runStart = Time(reader.Bytes());
                    break;
                case ExecutionCompleted:
                    runEnd = Time(reader.Bytes());
                    break;
                case VirtualDuration:
                    told = Time(reader.Bytes());
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        var cost = told ?? (runEnd - runStart) ?? (workEnd - workStart) ?? TimeSpan.Zero;
        return cost > TimeSpan.Zero && cost < Longest ? cost : TimeSpan.Zero;
    }

    private static TimeSpan Time(ReadOnlySpan<byte> message)
    {
        long seconds = 0;
        var nanos = 0;
        var reader = new ProtoReader(message);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    seconds = reader.Int64();
                    break;
                case 2:
                    nanos = reader.Int32();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        // Anything a TimeSpan can't hold is no time of an execution.
        return Math.Abs(seconds) < 1L << 38 ? TimeSpan.FromSeconds(seconds) + TimeSpan.FromTicks(nanos / 100) : TimeSpan.Zero;
    }
}
