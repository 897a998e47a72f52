namespace Slipway.Chaos.Accounting;

/// <summary>What one process ran, and what was done to it meanwhile.</summary>
/// <param name="Interrupted">Moments at which it was killed or stopped.</param>
internal sealed record RunLog(string Name, IReadOnlyList<RunRecord> Runs, IReadOnlyList<long> Interrupted);

/// <summary>
/// Compares what producers were told with what handlers did. It knows nothing of the queue: it reads the logs that both sides wrote
/// while they were at it, and the dead letters.
/// </summary>
/// <remarks>
/// <code>
///   lost       acknowledged, never executed to success, not among the dead (and not known to be ended otherwise)
///   ghost      executed without having been offered, or although its enqueue was refused
///   duplicate  an execution of the same attempt of the same job beyond the first
/// </code>
/// A duplicate is explained when an earlier run of it was in a process that was killed or stopped: then either that run was under
/// way, or it had ended so shortly before that its acknowledgement had not been sent (<see cref="Account.Window"/>).
/// </remarks>
internal static class Oracle
{
    private const int MostExamples = 5;

    /// <param name="ended">Ids that ended otherwise than by success, and rightly so: cancelled, or refused as duplicates of a unique key.</param>
    public static Account Judge(IEnumerable<OfferRecord> offers, IReadOnlyList<RunLog> logs, IReadOnlySet<ulong> dead, IReadOnlySet<ulong>? ended = null)
    {
        Dictionary<ulong, OfferKind> states = [];
        foreach (OfferRecord offer in offers.Where(offer => offer.Kind is not OfferKind.Empty))
        {
            for (ulong id = offer.First; id < offer.First + (ulong)offer.Count; id++)
            {
                // Offered is the weakest; threads may have written the others first.
                if (!states.TryGetValue(id, out OfferKind known) || known is OfferKind.Offered)
                {
                    states[id] = offer.Kind;
                }
            }
        }

        (RunRecord Run, RunLog Log)[] runs = [.. from log in logs from run in log.Runs where run.Outcome is not RunOutcome.Empty select (run, log)];
        Array.Sort(runs, static (a, b) => (a.Run.Id, a.Run.Attempt, a.Run.Start).CompareTo((b.Run.Id, b.Run.Attempt, b.Run.Start)));
        var duplicates = new Duplicates();
        var ghosts = new List<ulong>();
        var succeeded = new HashSet<ulong>();
        for (int from = 0; from < runs.Length;)
        {
            ulong id = runs[from].Run.Id;
            int to = from;
            while (to < runs.Length && runs[to].Run.Id == id)
            {
                if (runs[to].Run.Outcome is RunOutcome.Succeeded)
                {
                    succeeded.Add(id);
                }

                if (to > from && runs[to].Run.Attempt == runs[to - 1].Run.Attempt)
                {
                    duplicates.Add(runs[to - 1], runs[to]);
                }

                to++;
            }

            if (!states.TryGetValue(id, out OfferKind state) || state is OfferKind.Refused)
            {
                ghosts.Add(id);
            }

            from = to;
        }

        ulong[] acknowledged = [.. states.Where(one => one.Value is OfferKind.Acknowledged).Select(one => one.Key)];
        ulong[] lost = [.. acknowledged.Where(id => !succeeded.Contains(id) && !dead.Contains(id) && ended?.Contains(id) is not true).Order()];
        return new Account
        {
            Offered = states.Count,
            Acknowledged = acknowledged.Length,
            Refused = states.Values.Count(state => state is OfferKind.Refused),
            Unknown = states.Values.Count(state => state is OfferKind.Offered),
            Executions = runs.Length,
            // Of those in doubt, the ones that ran were enqueued.
            Completed = succeeded.Count(id => !dead.Contains(id)),
            Dead = dead.Count,
            Lost = lost,
            Ghosts = ghosts,
            Duplicates = duplicates.Count,
            DuplicatesUnderWay = duplicates.UnderWay,
            DuplicatesInWindow = duplicates.InWindow,
            DuplicatesUnexplained = duplicates.Unexplained,
            Window = duplicates.Window,
            LongestRestart = duplicates.LongestRestart,
            Examples = [.. lost.Take(MostExamples).Select(id => $"lost {JobNumbers.Show(id)}"), .. ghosts.Take(MostExamples).Select(id => $"ghost {JobNumbers.Show(id)}"), .. duplicates.Examples],
            Ends = [.. runs.Where(run => run.Run.Outcome is RunOutcome.Succeeded).Select(run => run.Run.End).Order()],
        };
    }

    private sealed class Duplicates
    {
        private readonly List<string> examples = [];

        public int Count { get; private set; }

        public int UnderWay { get; private set; }

        public int InWindow { get; private set; }

        public int Unexplained { get; private set; }

        public TimeSpan Window { get; private set; }

        public TimeSpan LongestRestart { get; private set; }

        public IEnumerable<string> Examples => examples;

        public void Add((RunRecord Run, RunLog Log) before, (RunRecord Run, RunLog Log) again)
        {
            Count++;
            if (again.Run.Token < before.Run.Token && again.Log.Interrupted.Any(at => at < again.Run.Start))
            {
                // The woken one, on a lease that was lost while it slept; the other one had the job meanwhile.
                UnderWay++;
                return;
            }

            // The first interruption that this run did not outlive by long.
            long cut = before.Log.Interrupted.Where(at => at >= before.Run.Start).DefaultIfEmpty(-1).First();
            if (cut < 0)
            {
                // Begun after the process woke from a stop, on a lease that was lost while it slept.
                long woken = before.Log.Interrupted.LastOrDefault(at => at < before.Run.Start, -1);
                Unexplained += woken < 0 ? 1 : 0;
                UnderWay += woken < 0 ? 0 : 1;
                if (woken < 0 && examples.Count < MostExamples)
                {
                    examples.Add($"unexplained {JobNumbers.Show(before.Run.Id)} attempt {before.Run.Attempt}: {Show(before)} then {Show(again)}");
                }

                return;
            }

            TimeSpan restart = TimeSpan.FromSeconds(Moments.Seconds(again.Run.Start - cut));
            LongestRestart = restart > LongestRestart ? restart : LongestRestart;
            if (before.Run.End == 0 || before.Run.End > cut)
            {
                UnderWay++;
                return;
            }

            InWindow++;
            TimeSpan window = TimeSpan.FromSeconds(Moments.Seconds(cut - before.Run.End));
            Window = window > Window ? window : Window;
        }

        private static string Show((RunRecord Run, RunLog Log) run) =>
            $"{run.Log.Name} token {run.Run.Token} {run.Run.Outcome} at {Moments.Milliseconds(run.Run.Start):0.0} ms";
    }
}
