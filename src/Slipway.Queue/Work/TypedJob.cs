using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Slipway.Queue;

/// <summary>A job with its arguments, as its handler sees it.</summary>
public sealed class Job<T>
{
    private readonly WorkQueue queue;

    internal Job(WorkQueue queue, T args, JobContext context)
    {
        this.queue = queue;
        Args = args;
        Context = context;
    }

    public T Args { get; }

    public Guid Id => Context.Job.Id;

    /// <summary>1 for the first run.</summary>
    public int Attempt => Context.Job.Attempt;

    /// <summary>Fencing token: a later lease of this job has a higher one. Whatever the job writes to can refuse lower ones than it saw.</summary>
    public long Token => Context.Token;

    /// <summary>By the server's clock.</summary>
    public DateTimeOffset EnqueuedAt => Context.Job.EnqueuedAt;

    /// <summary>Every line carries queue, job, attempt, and the trace and span it belongs to.</summary>
    public ILogger Logger => Context.Logger;

    /// <summary>The rest of what is known: priority, batch, fencing, why it was cancelled.</summary>
    public JobContext Context { get; }

    /// <summary>Tells how far a tracked job is; without effect on others.</summary>
    /// <param name="percent">0–100.</param>
    /// <param name="note">At most 500 characters.</param>
    public Task<bool> ProgressAsync(double percent, string note = "", CancellationToken cancellationToken = default) =>
        Context.ProgressAsync(percent, note, cancellationToken);

    /// <summary>Kept as JSON with a tracked job when it completes; without effect on others. At most 64 KiB.</summary>
    public void SetResult<TResult>(TResult result) => Context.SetResult(JsonSerializer.SerializeToUtf8Bytes(result, queue.Json<TResult>()));
}
