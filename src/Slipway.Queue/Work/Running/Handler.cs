namespace Slipway.Queue.Work;

/// <summary>What runs the jobs of one type (or of any), and how.</summary>
internal sealed class Handler(
    string type, int index, Func<Job, JobContext, CancellationToken, Task> run, RetryRules rules, TimeSpan? timeout, int? concurrency)
{
    /// <summary>The name of the handler that takes whatever has no other.</summary>
    public const string Any = "*";

    public string Type => type;

    /// <summary>Its place in the tallies of the slots.</summary>
    public int Index => index;

    public RetryRules Rules => rules;

    public TimeSpan? Timeout => timeout;

    public int? Concurrency => concurrency;

    /// <summary>At work at once in this process; guarded by the gate of <see cref="ReadyJobs"/>.</summary>
    public int Limit { get; set; } = int.MaxValue;

    public int Running { get; set; }

    /// <summary>Leased, but over the limit.</summary>
    public Queue<(BlockRun Block, int Index)> Held { get; } = new();

    public Task RunAsync(Job job, JobContext context, CancellationToken cancellationToken) => run(job, context, cancellationToken);
}
