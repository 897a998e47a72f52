using System.Diagnostics;

namespace Slipway.Queue.Work;

/// <summary>Enqueues jobs, single ones through the lane of their durability, and knows what to do when the queue is full.</summary>
internal sealed class Producer
{
    /// <summary>Jobs per call: as many as the broker takes.</summary>
    private const int MaxBatch = 1000;

    /// <summary>Nobody tells when a full queue has room again; workers take at least some per second.</summary>
    private static readonly TimeSpan FirstFullPause = TimeSpan.FromMilliseconds(20);

    private static readonly TimeSpan LongestFullPause = TimeSpan.FromMilliseconds(500);

    private readonly IQueueBroker broker;
    private readonly WorkQueueOptions options;
    private readonly QueueMetrics metrics;
    private readonly EnqueueLane[] lanes;

    public Producer(IQueueBroker broker, WorkQueueOptions options, QueueMetrics metrics)
    {
        this.broker = broker;
        this.options = options;
        this.metrics = metrics;
        lanes = [.. Enum.GetValues<Durability>().Select(durability => new EnqueueLane(this, durability))];
    }

    public int MaxGathered => options.MaxGathered;

    public ValueTask<Enqueued> EnqueueAsync(JobDraft job, Durability durability, WhenFull? whenFull, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<Enqueued>(cancellationToken);
        }

        return QueueMetrics.Source.HasListeners()
            ? EnqueueTracedAsync(job, durability, whenFull, cancellationToken)
            : lanes[(int)durability].AddAsync(Traced(job), whenFull ?? options.WhenFull, cancellationToken);
    }

    /// <summary>In calls of up to 1,000, in order.</summary>
    public async Task<EnqueuedMany> EnqueueManyAsync(
        IEnumerable<JobDraft> jobs, Durability durability, WhenFull? whenFull, Guid? batch, CancellationToken cancellationToken)
    {
        long added = 0;
        long refused = 0;
        long shed = 0;
        // A traced caller is one parent for all.
        foreach (JobDraft[] chunk in jobs.Select(Traced).Chunk(MaxBatch))
        {
            List<Enqueued> results = await SendPatientlyAsync(chunk, durability, whenFull ?? options.WhenFull, cancellationToken).ConfigureAwait(false);
            foreach (Enqueued result in results)
            {
                added += result.Outcome is EnqueueOutcome.Added && result.Id != Guid.Empty ? 1 : 0;
                shed += result.Id == Guid.Empty ? 1 : 0;
                refused += result.Outcome is EnqueueOutcome.Added ? 0 : 1;
            }
        }

        return new EnqueuedMany(added, refused, shed, batch);
    }

    /// <summary>Sends one gathered batch and answers its callers. Never throws.</summary>
    public async Task SendAsync(List<JobDraft> jobs, List<PendingEnqueue> callers, Durability durability)
    {
        try
        {
            IReadOnlyList<Enqueued> results = await broker.EnqueueAsync(jobs, durability, CancellationToken.None).ConfigureAwait(false);
            Count(jobs, results);
            for (int i = 0; i < callers.Count; i++)
            {
                callers[i].Complete(results[i]);
            }
        }
        catch (QueueFullException full)
        {
            await SendToFullAsync(jobs, callers, durability, full).ConfigureAwait(false);
        }
        catch (Exception e) when (jobs.Count > 1 && e is ArgumentException)
        {
            // One bad job must not fail its neighbours, who have nothing to do with it.
            await OneByOneAsync(jobs, callers, durability).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            foreach (PendingEnqueue caller in callers)
            {
                caller.Fail(e);
            }
        }
    }

    private async Task OneByOneAsync(List<JobDraft> jobs, List<PendingEnqueue> callers, Durability durability)
    {
        for (int i = 0; i < jobs.Count; i++)
        {
            await SendAsync([jobs[i]], [callers[i]], durability).ConfigureAwait(false);
        }
    }

    /// <summary>Those who do not wait are answered; the rest is sent as room comes, in order, while others gather behind it.</summary>
    private async Task SendToFullAsync(List<JobDraft> jobs, List<PendingEnqueue> callers, Durability durability, QueueFullException full)
    {
        var patientJobs = new List<JobDraft>();
        var patient = new List<PendingEnqueue>();
        for (int i = 0; i < callers.Count; i++)
        {
            switch (callers[i].WhenFull)
            {
                case WhenFull.Wait:
                    patientJobs.Add(jobs[i]);
                    patient.Add(callers[i]);
                    break;
                case WhenFull.Shed:
                    metrics.Shed(jobs[i].Type, 1);
                    callers[i].Complete(new Enqueued(Guid.Empty, EnqueueOutcome.Added));
                    break;
                default:
                    callers[i].Fail(full);
                    break;
            }
        }

        int answered = 0;
        try
        {
            await SendPatientlyAsync(
                patientJobs, durability, WhenFull.Wait, CancellationToken.None, result => patient[answered++].Complete(result)).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            for (; answered < patient.Count; answered++)
            {
                patient[answered].Fail(e);
            }
        }
    }

    /// <summary>Sends all, in smaller and smaller calls while the queue is full: where a thousand have no room, one may.</summary>
    private async Task<List<Enqueued>> SendPatientlyAsync(
        IReadOnlyList<JobDraft> jobs, Durability durability, WhenFull whenFull, CancellationToken cancellationToken, Action<Enqueued>? answer = null)
    {
        var all = new List<Enqueued>(jobs.Count);
        int size = jobs.Count;
        TimeSpan pause = FirstFullPause;
        long fullSince = 0;
        while (all.Count < jobs.Count)
        {
            IReadOnlyList<JobDraft> part = all.Count == 0 && size >= jobs.Count ? jobs : [.. jobs.Skip(all.Count).Take(size)];
            try
            {
                IReadOnlyList<Enqueued> results = await broker.EnqueueAsync(part, durability, cancellationToken).ConfigureAwait(false);
                Count(part, results);
                Add(results);
                (pause, fullSince, size) = (FirstFullPause, 0, size * 2);
            }
            catch (QueueFullException) when (part.Count > 1 && whenFull is not WhenFull.Reject)
            {
                size = part.Count / 2;
            }
            catch (QueueFullException) when (whenFull is WhenFull.Shed)
            {
                metrics.Shed(part[0].Type, 1);
                Add([new Enqueued(Guid.Empty, EnqueueOutcome.Added)]);
            }
            catch (QueueFullException) when (whenFull is WhenFull.Wait && (fullSince == 0 || options.Time.GetElapsedTime(fullSince) < options.FullWait))
            {
                fullSince = fullSince == 0 ? Math.Max(1, options.Time.GetTimestamp()) : fullSince;
                await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), options.Time, cancellationToken).ConfigureAwait(false);
                pause = pause * 2 < LongestFullPause ? pause * 2 : LongestFullPause;
            }
        }

        return all;

        void Add(IReadOnlyList<Enqueued> results)
        {
            all.AddRange(results);
            if (answer is not null)
            {
                foreach (Enqueued result in results)
                {
                    answer(result);
                }
            }
        }
    }

    private async ValueTask<Enqueued> EnqueueTracedAsync(JobDraft job, Durability durability, WhenFull? whenFull, CancellationToken cancellationToken)
    {
        using Activity? activity = QueueMetrics.Source.StartActivity(ActivityKind.Producer, name: job.Type);
        activity?.SetTag("messaging.system", "slipway").SetTag("messaging.operation.type", "send").SetTag("messaging.destination.name", broker.Queue);
        Enqueued result = await lanes[(int)durability].AddAsync(Traced(job), whenFull ?? options.WhenFull, cancellationToken).ConfigureAwait(false);
        activity?.SetTag("messaging.message.id", result.Id.ToString());
        return result;
    }

    /// <summary>The batch goes out on another thread, where the caller's activity is not current any more.</summary>
    private static JobDraft Traced(JobDraft job) =>
        job.TraceParent is null && Activity.Current is { IdFormat: ActivityIdFormat.W3C, Id: { } id } ? job with { TraceParent = id } : job;

    private void Count(IReadOnlyList<JobDraft> jobs, IReadOnlyList<Enqueued> results)
    {
        string? type = null;
        long run = 0;
        for (int i = 0; i < jobs.Count; i++)
        {
            if (results[i].Outcome is not EnqueueOutcome.Added)
            {
                continue;
            }

            if (!ReferenceEquals(type, jobs[i].Type) && type is not null)
            {
                metrics.Produced(type, run);
                run = 0;
            }

            type = jobs[i].Type;
            run++;
        }

        if (type is not null)
        {
            metrics.Produced(type, run);
        }
    }
}
