using System.Collections.Concurrent;

namespace Slipway.Queue.Tests.Work;

/// <summary>A queue in memory: enough of the contract to see what a worker asks of its broker, and to fail it on purpose.</summary>
internal sealed class MemoryBroker(TimeProvider time) : IQueueBroker
{
    private readonly Lock gate = new();
    private readonly LinkedList<(JobDraft Draft, Job Job)> ready = new();
    private readonly List<(DateTimeOffset Due, JobDraft Draft, Job Job)> delayed = [];
    private readonly Dictionary<string, Block> blocks = [];
    private readonly Dictionary<string, DateTimeOffset> fired = [];
    private TaskCompletionSource wake = New();
    private long tokens;

    public event Action<Guid>? CancelRequested;

    public string Queue => "test";

    public string WorkerId => "worker";

    public Task NextWake => Volatile.Read(ref wake).Task;

    /// <summary>The server's clock is so far off ours.</summary>
    public TimeSpan Skew { get; set; }

    /// <summary>Jobs that fit in; one more is refused.</summary>
    public int MaxJobs { get; set; } = int.MaxValue;

    /// <summary>Called before each transition with its name; may throw or wait.</summary>
    public Func<string, Task> Before { get; set; } = _ => Task.CompletedTask;

    /// <summary>Called after each transition, when it has taken effect but nobody knows: may throw.</summary>
    public Action<string> After { get; set; } = _ => { };

    public ConcurrentQueue<string> Calls { get; } = new();

    public ConcurrentQueue<(Job Job, JobEnd End)> Ended { get; } = new();

    public ConcurrentQueue<int> Batches { get; } = new();

    public ConcurrentQueue<FetchRequest> Fetches { get; } = new();

    public ConcurrentQueue<Guid> Done { get; } = new();

    public ConcurrentQueue<(Guid Id, double Percent, string Note)> Progress { get; } = new();

    public ConcurrentQueue<WorkerReport> Reports { get; } = new();

    public ConcurrentQueue<(string Schedule, DateTimeOffset Slot)> Fired { get; } = new();

    public int ReadyCount => Locked(() => ready.Count);

    public int BlockCount => Locked(() => blocks.Count);

    public IReadOnlyList<string> Blocks => Locked(() => blocks.Keys.ToList());

    private DateTimeOffset Now => time.GetUtcNow() + Skew;

    public async Task<IReadOnlyList<Enqueued>> EnqueueAsync(IReadOnlyList<JobDraft> jobs, Durability durability, CancellationToken cancellationToken)
    {
        await Call("enqueue");
        Batches.Enqueue(jobs.Count);
        List<Enqueued> added = [];
        lock (gate)
        {
            if (ready.Count + jobs.Count > MaxJobs)
            {
                throw new QueueFullException(Queue, "depth", "full");
            }

            foreach (JobDraft draft in jobs)
            {
                Job job = Make(draft, 1);
                if (draft.Delay > TimeSpan.Zero)
                {
                    delayed.Add((Now + draft.Delay, draft, job));
                }
                else
                {
                    ready.AddLast((draft, job));
                }

                added.Add(new Enqueued(job.Id, EnqueueOutcome.Added));
            }
        }

        Wake();
        After("enqueue");
        return added;
    }

    public async Task<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        await Call("fetch");
        Fetches.Enqueue(request);
        FetchResult result = Locked(() =>
        {
            List<string> late = [];
            foreach (string id in request.Finished)
            {
                if (!blocks.Remove(id, out Block? block))
                {
                    late.Add(id);
                    continue;
                }

                for (int i = 0; i < block.Jobs.Count; i++)
                {
                    End(block, i, null);
                }
            }

            foreach (var due in delayed.Where(job => job.Due <= Now).ToList())
            {
                delayed.Remove(due);
                ready.AddLast((due.Draft, due.Job));
            }

            List<(JobDraft, Job)> taken = [];
            while (taken.Count < request.Max && ready.First is { } first)
            {
                taken.Add(first.Value);
                ready.RemoveFirst();
            }

            List<JobBlock> leased = [];
            if (taken.Count > 0)
            {
                Block block = new($"b{++tokens}", taken) { Deadline = Now + request.Lease };
                blocks[block.Id] = block;
                leased.Add(block.Leased = new JobBlock(block.Id, tokens, Now, block.Deadline, [.. taken.Select(job => job.Item2)]));
            }

            return new FetchResult(
                leased,
                late,
                Now,
                delayed.Count == 0 ? null : delayed.Min(job => job.Due) - Now,
                [.. blocks.Values.Where(block => block.Deadline < Now).Select(block => block.Id)],
                ready.Count > 0);
        });
        After("fetch");
        // As on a connection: who gives a call up does not get its answer, whatever it did.
        cancellationToken.ThrowIfCancellationRequested();
        return result;
    }

    public async Task<IReadOnlyList<bool>> AckAsync(IReadOnlyList<BlockAck> acks, CancellationToken cancellationToken)
    {
        await Call("ack");
        return Locked(() => acks.Select(ack =>
        {
            if (!blocks.TryGetValue(ack.Block, out Block? block))
            {
                return false;
            }

            for (int i = 0; i < block.Jobs.Count; i++)
            {
                if ((ack.Done.Span[i / 8] & (1 << (i % 8))) != 0)
                {
                    End(block, i, null);
                }
            }

            CloseWhenEnded(block);
            return true;
        }).ToList());
    }

    public async Task<bool> SettleAsync(string id, IReadOnlyList<JobEnd> ends, CancellationToken cancellationToken)
    {
        await Call("settle");
        bool mine = Locked(() =>
        {
            if (!blocks.TryGetValue(id, out Block? block))
            {
                return false;
            }

            foreach (JobEnd end in ends)
            {
                End(block, end.Index, end);
            }

            CloseWhenEnded(block);
            return true;
        });
        Wake();
        return mine;
    }

    public async Task<IReadOnlyList<bool>> ExtendAsync(IReadOnlyList<string> extended, TimeSpan lease, CancellationToken cancellationToken)
    {
        await Call("extend");
        return Locked(() => extended.Select(id =>
        {
            if (blocks.TryGetValue(id, out Block? block))
            {
                block.Deadline = Now + lease;
            }

            return block is not null;
        }).ToList());
    }

    public async Task<BlockReap> ReapAsync(IReadOnlyList<string> expired, CancellationToken cancellationToken)
    {
        await Call("reap");
        int back = 0;
        lock (gate)
        {
            foreach (string id in expired)
            {
                back += Expire(id);
            }
        }

        return new BlockReap(back, 0);
    }

    public async Task<IReadOnlyList<JobBlock>> RecoverAsync(IReadOnlyList<string> known, CancellationToken cancellationToken)
    {
        await Call("recover");
        return Locked(() => blocks.Values.Where(block => !known.Contains(block.Id)).Select(block => block.Leased!).ToList());
    }

    public async Task ReportAsync(WorkerReport report, CancellationToken cancellationToken)
    {
        await Call("report");
        Reports.Enqueue(report);
    }

    public Task<bool> ProgressAsync(Guid id, double progress, string note, CancellationToken cancellationToken)
    {
        Progress.Enqueue((id, progress, note));
        return Task.FromResult(true);
    }

    public Task<JobStatus?> FindAsync(Guid id, CancellationToken cancellationToken) => Task.FromResult<JobStatus?>(null);

    public Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken)
    {
        CancelRequested?.Invoke(id);
        return Task.FromResult(true);
    }

    public Task<Guid> OpenBatchAsync(JobDraft callback, Guid? parent, CancellationToken cancellationToken)
    {
        Calls.Enqueue("open " + callback.Type);
        return Task.FromResult(Guid.CreateVersion7());
    }

    public Task<BatchStatus?> CloseBatchAsync(Guid batch, CancellationToken cancellationToken)
    {
        Calls.Enqueue("close");
        return Task.FromResult<BatchStatus?>(null);
    }

    public Task<BatchStatus?> FindBatchAsync(Guid batch, CancellationToken cancellationToken) => Task.FromResult<BatchStatus?>(null);

    public async Task<bool> FireAsync(string schedule, DateTimeOffset slot, JobDraft job, CancellationToken cancellationToken)
    {
        await Call("fire");
        lock (gate)
        {
            if (fired.TryGetValue(schedule, out DateTimeOffset last) && slot <= last)
            {
                return false;
            }

            fired[schedule] = slot;
            ready.AddLast((job, Make(job, 1)));
        }

        Fired.Enqueue((schedule, slot));
        Wake();
        return true;
    }

    public Task<DateTimeOffset?> LastFiredAsync(string schedule, CancellationToken cancellationToken) =>
        Task.FromResult(Locked(() => fired.TryGetValue(schedule, out DateTimeOffset last) ? last : (DateTimeOffset?)null));

    public void SetLastFired(string schedule, DateTimeOffset slot) => Locked(() => fired[schedule] = slot);

    /// <summary>A job as a worker that knows more than this broker would see it.</summary>
    public void AddReady(Job job)
    {
        lock (gate)
        {
            ready.AddLast((new JobDraft { Type = job.Type }, job));
        }

        Wake();
    }

    /// <summary>As if a reaper had found the lease to be over.</summary>
    public int Expire(string id)
    {
        lock (gate)
        {
            if (!blocks.Remove(id, out Block? block))
            {
                return 0;
            }

            foreach (int i in block.Open)
            {
                ready.AddFirst(block.Jobs[i]);
            }

            return block.Open.Count;
        }
    }

    public void Wake() => Interlocked.Exchange(ref wake, New()).TrySetResult();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task Call(string name)
    {
        Calls.Enqueue(name);
        await Before(name);
    }

    private Job Make(JobDraft draft, int attempt) => new()
    {
        Id = draft.Id ?? Guid.CreateVersion7(),
        Type = draft.Type,
        Payload = draft.Payload,
        Attempt = attempt,
        EnqueuedAt = Now,
        MaxAttempts = draft.MaxAttempts,
        Timeout = draft.Timeout,
        Tracked = draft.Track,
        NeedsSettling = draft.Track || draft.UniqueKey is not null,
        TraceParent = draft.TraceParent ?? "",
        Batch = draft.Batch,
    };

    private void End(Block block, int index, JobEnd? end)
    {
        if (!block.Open.Remove(index))
        {
            return;
        }

        (JobDraft draft, Job job) = block.Jobs[index];
        switch (end?.Kind)
        {
            case null:
                Done.Enqueue(job.Id);
                break;
            case JobEndKind.Released:
                ready.AddFirst(block.Jobs[index]);
                break;
            case JobEndKind.Retry:
                delayed.Add((Now + end.RetryAfter, draft, Make(draft with { Id = job.Id }, job.Attempt + 1)));
                break;
            default:
                break;
        }

        if (end is not null)
        {
            Ended.Enqueue((job, end));
        }
    }

    private void CloseWhenEnded(Block block)
    {
        if (block.Open.Count == 0)
        {
            blocks.Remove(block.Id);
        }
    }

    private T Locked<T>(Func<T> read)
    {
        lock (gate)
        {
            return read();
        }
    }

    private sealed class Block(string id, List<(JobDraft, Job)> jobs)
    {
        public string Id => id;

        public List<(JobDraft Draft, Job Job)> Jobs => jobs;

        public HashSet<int> Open { get; } = [.. Enumerable.Range(0, jobs.Count)];

        public DateTimeOffset Deadline { get; set; }

        public JobBlock? Leased { get; set; }
    }
}
