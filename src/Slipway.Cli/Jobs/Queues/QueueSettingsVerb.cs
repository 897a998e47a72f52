using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Queues;

/// <summary>What <c>queue create</c> and <c>queue update</c> have in common: an option for each setting of a queue.</summary>
internal abstract class QueueSettingsVerb : JobVerb
{
    private static readonly TimeSpan LongestTime = TimeSpan.FromDays(366);

    private readonly Option<string?> description;
    private readonly Option<string?> order;
    private readonly Option<string?> weights;
    private readonly Option<long?> maxJobs;
    private readonly Option<long?> maxBytes;
    private readonly Option<TimeSpan?> maxAge;
    private readonly Option<long?> attempts;
    private readonly Option<TimeSpan?> firstDelay;
    private readonly Option<TimeSpan?> maxDelay;
    private readonly Option<long?> maxLostLeases;
    private readonly Option<long?> maxDead;
    private readonly Option<string?> deadOverflow;
    private readonly Option<TimeSpan?> keepTracked;

    protected QueueSettingsVerb(string name, string summary)
        : base(name, summary)
    {
        Queue = QueueArgument();
        description = Text("--description", "TEXT", "What it is for");
        order = Choice("--order", "Smaller priorities first (with an eighth for the others), or in proportion to the weights", ["strict", "weighted"]);
        weights = Text("--weights", "W,…", "Eight numbers of 1 to 1000, for priority 0 to 7");
        maxJobs = Amount("--max-jobs", "Refuse enqueues beyond so many jobs", least: 1, most: long.MaxValue);
        maxBytes = Size("--max-bytes", "Refuse enqueues beyond so many bytes", least: 1);
        maxAge = Duration("--max-age", "Refuse enqueues while the oldest ready job is older; 0: no such bound", TimeSpan.Zero, LongestTime);
        attempts = Amount("--attempts", "Runs in all before a failing job is a dead letter", least: 1, most: 100);
        firstDelay = Duration("--first-delay", "Pause after the first failure; doubles from there", TimeSpan.Zero, LongestTime);
        maxDelay = Duration("--max-delay", "Longest pause between two runs", TimeSpan.Zero, LongestTime);
        maxLostLeases = Amount("--max-lost-leases", "A job whose worker vanished so often is a dead letter", least: 1, most: 255);
        maxDead = Amount("--max-dead", "Dead letters that are kept", least: 1, most: long.MaxValue);
        deadOverflow = Choice("--dead-overflow", "Beyond --max-dead: hand out no more jobs, or drop the oldest dead letters", ["pause", "drop-oldest"]);
        keepTracked = Duration("--keep-tracked", "How long state and result of tracked jobs are kept after their end", TimeSpan.Zero, LongestTime);
    }

    protected Argument<string> Queue { get; }

    protected string? DescriptionOf(Invocation run) => run.Get(description);

    /// <param name="now">What holds so far, where a setting has parts; null: the defaults.</param>
    /// <returns>Null: nothing was given.</returns>
    protected JobQueueSettingsChange? Change(Invocation run, JobQueueSettings? now)
    {
        var retry = now?.Retry ?? new JobRetryPolicy();
        var newRetry = retry with
        {
            MaxAttempts = (int)(run.Get(attempts) ?? retry.MaxAttempts),
            FirstDelayMs = Milliseconds(run.Get(firstDelay)) ?? retry.FirstDelayMs,
            MaxDelayMs = Milliseconds(run.Get(maxDelay)) ?? retry.MaxDelayMs,
        };
        var change = new JobQueueSettingsChange(
            Weighted: run.Get(order) switch { null => null, var word => word == "weighted" },
            Weights: run.Get(weights) is { } text ? Weights(text) : null,
            MaxJobs: run.Get(maxJobs),
            MaxBytes: run.Get(maxBytes),
            MaxAgeMs: Milliseconds(run.Get(maxAge)),
            MaxLostLeases: (int?)run.Get(maxLostLeases),
            MaxDead: run.Get(maxDead),
            DeadOverflow: run.Get(deadOverflow) switch { "drop-oldest" => "dropOldest", var word => word },
            Retry: newRetry == retry ? null : newRetry,
            KeepTrackedMs: Milliseconds(run.Get(keepTracked)));
        return change == new JobQueueSettingsChange() ? null : change;
    }

    private static long? Milliseconds(TimeSpan? time) => time is { } span ? (long)span.TotalMilliseconds : null;

    private static int[] Weights(string text)
    {
        var words = text.Split(',', StringSplitOptions.TrimEntries);
        var numbers = words.Select(word => int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0).ToArray();
        return numbers.Length == 8 && numbers.All(number => number is >= 1 and <= 1000)
            ? numbers
            : throw CliFailure.Usage($"--weights is eight numbers of 1 to 1000, not \"{text}\"", "slipway … --weights 64,48,32,16,8,4,2,1");
    }
}
