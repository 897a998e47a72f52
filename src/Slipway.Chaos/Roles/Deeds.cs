using System.Diagnostics;
using System.Runtime.CompilerServices;
using Slipway.Chaos.Accounting;

namespace Slipway.Chaos.Roles;

/// <summary>Where the record of a run lies: refs cannot be kept over an await.</summary>
internal readonly unsafe struct RunPlace(RunRecord* record)
{
    public void End(RunOutcome outcome) => RunRecords.End(ref *record, outcome);

    public static RunPlace Of(ref RunRecord record) => new((RunRecord*)Unsafe.AsPointer(ref record));
}

/// <summary>What handlers do, from nothing to the worst.</summary>
internal static class Deeds
{
    public static async Task DoAsync(JobWork work, RunPlace place, CancellationToken cancellationToken)
    {
        TimeSpan time = TimeSpan.FromMicroseconds(work.Microseconds);
        try
        {
            switch (work.Kind)
            {
                case WorkKind.Wait:
                    await Task.Delay(time, cancellationToken);
                    break;
                case WorkKind.Hang:
                    await Task.Delay(time, CancellationToken.None);
                    break;
                case WorkKind.Spin:
                    for (long from = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(from) < time;)
                    {
                        Thread.SpinWait(20);
                    }

                    break;
                case WorkKind.Throw:
                    throw new InvalidOperationException("This job was made to fail.");
                case WorkKind.OverflowStack:
                    Deeper(0);
                    break;
                case WorkKind.Exit:
                    Environment.Exit(3);
                    break;
                case WorkKind.Die:
                    Process.GetCurrentProcess().Kill();
                    await Task.Delay(Timeout.Infinite, CancellationToken.None);
                    break;
            }

            place.End(RunOutcome.Succeeded);
        }
        catch (OperationCanceledException)
        {
            place.End(RunOutcome.Cancelled);
            throw;
        }
        catch
        {
            place.End(RunOutcome.Failed);
            throw;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.NoOptimization)]
    private static long Deeper(long depth) => depth < 0 ? depth : Deeper(depth + 1) + 1;
}
