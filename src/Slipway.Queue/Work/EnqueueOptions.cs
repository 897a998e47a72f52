namespace Slipway.Queue;

/// <summary>What is special about one enqueue.</summary>
public sealed class EnqueueOptions
{
    private JobDraft draft = new() { Type = "" };

    internal Durability DurabilityValue { get; private set; }

    internal WhenFull? WhenFullValue { get; private set; }

    /// <summary>Not before this long from now, by the server's clock, to the millisecond.</summary>
    public EnqueueOptions In(Duration delay) => With(draft with { Delay = delay });

    /// <summary>Not before this moment, by the server's clock.</summary>
    public EnqueueOptions At(DateTimeOffset moment) => With(draft with { At = moment });

    /// <summary>None is added while another with this key waits, runs or is dead (<see cref="JobDraft.UniqueKey"/>).</summary>
    /// <param name="keep">The key stays taken so long after the job completed.</param>
    public EnqueueOptions Unique(string key, Duration? keep = null) => With(draft with { UniqueKey = key, UniqueFor = keep?.Value ?? TimeSpan.Zero });

    public EnqueueOptions Priority(JobPriority priority) => With(draft with { Priority = priority });

    /// <summary>What the acknowledged enqueue survives.</summary>
    public EnqueueOptions Durability(Durability durability)
    {
        DurabilityValue = durability;
        return this;
    }

    /// <summary>What the job takes from a rate limit, 1–255. 1.</summary>
    public EnqueueOptions Cost(byte cost) => With(draft with { Cost = cost });

    /// <summary>So many more runs after a failed first one, instead of the handler's policy.</summary>
    public EnqueueOptions Retries(int retries) => With(draft with { MaxAttempts = retries + 1 });

    /// <summary>A longer run is cancelled and counts as failed.</summary>
    public EnqueueOptions Timeout(Duration timeout) => With(draft with { Timeout = timeout });

    /// <summary>Keeps state, progress and result, and lets the job be cancelled.</summary>
    public EnqueueOptions Track() => With(draft with { Track = true });

    /// <summary>Belongs to an open batch.</summary>
    public EnqueueOptions Batch(Guid batch) => With(draft with { Batch = batch });

    /// <summary>Starts when all of these tracked jobs have completed.</summary>
    public EnqueueOptions After(params IReadOnlyList<Guid> jobs) => With(draft with { After = jobs });

    /// <summary>Names the job; an id that is enqueued again is another job all the same, unless it is <see cref="Unique"/>.</summary>
    public EnqueueOptions Id(Guid id) => With(draft with { Id = id });

    /// <summary>Instead of <see cref="WorkQueueOptions.WhenFull"/>.</summary>
    public EnqueueOptions WhenFull(WhenFull policy)
    {
        WhenFullValue = policy;
        return this;
    }

    internal JobDraft Draft(string type, ReadOnlyMemory<byte> payload) => draft with { Type = type, Payload = payload };

    private EnqueueOptions With(JobDraft changed)
    {
        draft = changed;
        return this;
    }
}

/// <summary>What is special about a batch of jobs.</summary>
public sealed class BatchOptions
{
    internal Func<WorkQueue, JobDraft>? Callback { get; private set; }

    internal Guid? Parent { get; private set; }

    /// <summary>Enqueued exactly once, when the last job of the batch has ended (completed or dead).</summary>
    public BatchOptions OnComplete<T>(T args, Action<EnqueueOptions>? options = null)
    {
        Callback = queue => queue.Draft(args, options, out _, out _);
        return this;
    }

    /// <summary>The same for arguments that are no JSON.</summary>
    public BatchOptions OnComplete(JobDraft job)
    {
        Callback = _ => job;
        return this;
    }

    /// <summary>The batch is a part of another: the other's callback waits for this one's.</summary>
    public BatchOptions PartOf(Guid parent)
    {
        Parent = parent;
        return this;
    }
}

/// <param name="Added">New jobs.</param>
/// <param name="Refused">Whose unique key was taken, or whose dependency had failed.</param>
/// <param name="Shed">Dropped, because the queue was full and the policy <see cref="WhenFull.Shed"/>.</param>
/// <param name="Batch">Its id, where there is one.</param>
public sealed record EnqueuedMany(long Added, long Refused, long Shed, Guid? Batch);
