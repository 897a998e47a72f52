using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Slipway.Queue;

/// <summary>The producer's half.</summary>
public sealed partial class WorkQueue
{
    /// <summary>
    /// Enqueues a job; done when the server has it (see <see cref="Durability"/>). Call it as often as you like: calls that come while others are on
    /// their way travel together.
    /// </summary>
    /// <exception cref="QueueFullException">The queue is at its bound, and stayed so as long as <see cref="WorkQueueOptions.WhenFull"/> says.</exception>
    public ValueTask<Enqueued> EnqueueAsync<T>(T args, Action<EnqueueOptions>? options = null, CancellationToken cancellationToken = default)
    {
        JobDraft job = Draft(args, options, out Durability durability, out WhenFull? whenFull);
        return producer.EnqueueAsync(job, durability, whenFull, cancellationToken);
    }

    /// <inheritdoc cref="EnqueueAsync{T}"/>
    [OverloadResolutionPriority(1)]
    public ValueTask<Enqueued> EnqueueAsync(
        JobDraft job, Durability durability = Durability.Server, WhenFull? whenFull = null, CancellationToken cancellationToken = default) =>
        producer.EnqueueAsync(job, durability, whenFull, cancellationToken);

    /// <summary>Enqueues many jobs in order, in calls of up to 1,000; the source is read as they go.</summary>
    /// <param name="batch">Makes a batch of them: <c>b => b.OnComplete(new ImportDone())</c>.</param>
    /// <remarks>When it throws, the jobs of the calls before are enqueued, and their batch stays open: it does not call back.</remarks>
    public Task<EnqueuedMany> EnqueueManyAsync<T>(
        IEnumerable<T> many, Action<EnqueueOptions>? options = null, Action<BatchOptions>? batch = null, CancellationToken cancellationToken = default)
    {
        (Durability durability, WhenFull? whenFull) = (Durability.Server, null);
        if (options is not null)
        {
            var chosen = new EnqueueOptions();
            options(chosen);
            (durability, whenFull) = (chosen.DurabilityValue, chosen.WhenFullValue);
        }

        return EnqueueManyAsync(many.Select(args => Draft(args, options, out _, out _)), durability, whenFull, batch, cancellationToken);
    }

    /// <inheritdoc cref="EnqueueManyAsync{T}"/>
    [OverloadResolutionPriority(1)]
    public async Task<EnqueuedMany> EnqueueManyAsync(
        IEnumerable<JobDraft> jobs,
        Durability durability = Durability.Server,
        WhenFull? whenFull = null,
        Action<BatchOptions>? batch = null,
        CancellationToken cancellationToken = default)
    {
        if (batch is null)
        {
            return await producer.EnqueueManyAsync(jobs, durability, whenFull, null, cancellationToken).ConfigureAwait(false);
        }

        var chosen = new BatchOptions();
        batch(chosen);
        JobDraft callback = chosen.Callback?.Invoke(this) ?? throw new ArgumentException("A batch wants to know what comes after it: call OnComplete.", nameof(batch));
        Guid id = await Broker.OpenBatchAsync(callback, chosen.Parent, cancellationToken).ConfigureAwait(false);
        EnqueuedMany result = await producer.EnqueueManyAsync(
            jobs.Select(job => job with { Batch = id }), durability, whenFull, id, cancellationToken).ConfigureAwait(false);
        await Broker.CloseBatchAsync(id, cancellationToken).ConfigureAwait(false);
        return result;
    }

    internal JobDraft Draft<T>(T args, Action<EnqueueOptions>? options, out Durability durability, out WhenFull? whenFull)
    {
        // The types of a program's own arguments are few, whatever it does.
        metrics.Know(Work.JobNames<T>.Value);
        byte[] payload = JsonSerializer.SerializeToUtf8Bytes(args, Json<T>());
        if (options is null)
        {
            (durability, whenFull) = (Durability.Server, null);
            return new JobDraft { Type = Work.JobNames<T>.Value, Payload = payload };
        }

        var chosen = new EnqueueOptions();
        options(chosen);
        (durability, whenFull) = (chosen.DurabilityValue, chosen.WhenFullValue);
        return chosen.Draft(Work.JobNames<T>.Value, payload);
    }
}
