namespace Slipway.Queue.Work;

/// <summary>
/// Merges single enqueues of one durability into batches. By back-pressure, never by a timer: a lone job goes out at once, and
/// while batches are on their way others gather.
/// </summary>
internal sealed class EnqueueLane(Producer producer, Durability durability)
{
    /// <summary>As many as the broker takes.</summary>
    private const int MaxBatch = 1000;

    /// <summary>A batch stays below what one command and one script should carry.</summary>
    private const int MaxBatchBytes = 1024 * 1024;

    /// <summary>While one batch is executed, the next is on the wire and another being built. More only makes batches smaller.</summary>
    private const int MaxOnTheWay = 3;

    /// <summary>A second batch goes out beside the first only when it is worth a call of its own.</summary>
    private const int WorthACall = 64;

    private readonly Lock gate = new();
    private readonly Queue<PendingEnqueue> gathered = new();
    private readonly Queue<TaskCompletionSource> waiting = new();
    private int onTheWay;

    public ValueTask<Enqueued> AddAsync(JobDraft job, WhenFull whenFull, CancellationToken cancellationToken)
    {
        PendingEnqueue pending;
        bool first;
        bool more;
        lock (gate)
        {
            if (gathered.Count >= producer.MaxGathered)
            {
                return AddWhenRoomAsync(job, whenFull, cancellationToken);
            }

            pending = PendingEnqueue.Rent(job, whenFull);
            gathered.Enqueue(pending);
            first = onTheWay == 0;
            more = !first && onTheWay < MaxOnTheWay && gathered.Count >= WorthACall;
            onTheWay += first || more ? 1 : 0;
        }

        ValueTask<Enqueued> result = pending.Task;
        pending.LeaveOn(cancellationToken);
        if (first || more)
        {
            _ = SendAsync();
        }

        return result;
    }

    private async ValueTask<Enqueued> AddWhenRoomAsync(JobDraft job, WhenFull whenFull, CancellationToken cancellationToken)
    {
        TaskCompletionSource room;
        lock (gate)
        {
            room = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (gathered.Count < producer.MaxGathered)
            {
                room.SetResult();
            }
            else
            {
                waiting.Enqueue(room);
            }
        }

        await room.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        return await AddAsync(job, whenFull, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends batches until nothing is gathered. Counted in <see cref="onTheWay"/> by whoever starts it.</summary>
    private async Task SendAsync()
    {
        var jobs = new List<JobDraft>();
        var callers = new List<PendingEnqueue>();
        while (Take(jobs, callers))
        {
            await producer.SendAsync(jobs, callers, durability).ConfigureAwait(false);
            bool several = callers.Count > 1;
            jobs.Clear();
            callers.Clear();
            if (several)
            {
                // The callers just answered mostly come back at once: let them, then go with all of them.
                await Task.Yield();
            }
        }
    }

    /// <summary>The next batch. False: nothing is gathered, and the sender has left.</summary>
    private bool Take(List<JobDraft> jobs, List<PendingEnqueue> callers)
    {
        int freed = 0;
        lock (gate)
        {
            long bytes = 0;
            while (jobs.Count < MaxBatch && bytes < MaxBatchBytes && gathered.TryDequeue(out PendingEnqueue? pending))
            {
                freed++;
                if (pending.TryTake())
                {
                    bytes += pending.Job.Payload.Length;
                    jobs.Add(pending.Job);
                    callers.Add(pending);
                }
            }

            for (; freed > 0 && waiting.TryDequeue(out TaskCompletionSource? room); freed--)
            {
                room.TrySetResult();
            }

            if (jobs.Count == 0)
            {
                onTheWay--;
            }
        }

        return jobs.Count > 0;
    }
}
