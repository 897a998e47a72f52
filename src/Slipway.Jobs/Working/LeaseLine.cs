using Slipway.Queue;

namespace Slipway.Jobs.Working;

/// <summary>
/// Workers that wait for jobs of one queue, first come, first served. However many wait, a wake-up costs one fetch and one more for
/// each that got something: a thousand sleepers are no herd.
/// </summary>
internal sealed class LeaseLine(IQueueBroker broker, TimeProvider time)
{
    /// <summary>A wake-up that got lost (its connection was cut) delays a job by this and no more.</summary>
    private static readonly TimeSpan LongestSleep = TimeSpan.FromSeconds(1);

    private readonly Lock gate = new();
    private readonly LinkedList<Waiter> waiting = new();
    private bool serving;

    /// <summary>Jobs at once, or the first there are within <paramref name="wait"/>, or none.</summary>
    /// <param name="giveUp">The client left, or the server stops: nothing is leased any more, and what just was is given back.</param>
    public async Task<FetchResult> LeaseAsync(FetchRequest request, TimeSpan wait, CancellationToken giveUp)
    {
        giveUp.ThrowIfCancellationRequested();
        // Not cancelled with the caller: a lease nobody hears of is only found again when it expires.
        var first = await FetchAsync(request, CancellationToken.None);
        if (first.Blocks.Count > 0 || wait <= TimeSpan.Zero || request.Max == 0)
        {
            await GiveBackWhenAsync(first, giveUp);
            giveUp.ThrowIfCancellationRequested();
            return first;
        }

        var waiter = new Waiter(request with { Finished = [] });
        lock (gate)
        {
            waiter.Place = waiting.AddLast(waiter);
            if (!serving)
            {
                serving = true;
                _ = ServeAsync();
            }
        }

        using var timeout = new CancellationTokenSource(wait, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, giveUp);
        FetchResult? served;
        await using (either.Token.Register(() => Leave(waiter)))
        {
            served = await waiter.Answer.Task;
        }

        var result = served is null ? first : served with { Late = first.Late };
        await GiveBackWhenAsync(result, giveUp);
        giveUp.ThrowIfCancellationRequested();
        return result;
    }

    /// <summary>Puts back what expired, leasing nothing: for a queue that nobody leases from just now.</summary>
    public Task TendAsync(CancellationToken cancellationToken) => FetchAsync(new FetchRequest(0, TimeSpan.FromSeconds(1), []), cancellationToken);

    /// <summary>Puts what expired back first: without workers that fetch, this is who does it.</summary>
    private async Task<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        var result = await broker.FetchAsync(request, cancellationToken);
        if (result.Expired.Count == 0)
        {
            return result;
        }

        await broker.ReapAsync(result.Expired, cancellationToken);
        return result.Blocks.Count > 0 || request.Max == 0
            ? result
            : (await broker.FetchAsync(request with { Finished = [] }, cancellationToken)) with { Late = result.Late };
    }

    private async Task GiveBackWhenAsync(FetchResult result, CancellationToken giveUp)
    {
        if (giveUp.IsCancellationRequested)
        {
            foreach (var block in result.Blocks)
            {
                await broker.SettleAsync(block.Id, [.. block.Jobs.Select((_, index) => new JobEnd(index, JobEndKind.Released))], CancellationToken.None);
            }
        }
    }

    private void Leave(Waiter waiter)
    {
        lock (gate)
        {
            // One that is being served gets its answer, and gives it back when it can't use it.
            waiter.Left = true;
            if (waiter.Place is { } place)
            {
                waiting.Remove(place);
                waiter.Place = null;
                waiter.Answer.TrySetResult(null);
            }
        }
    }

    private async Task ServeAsync()
    {
        await Task.Yield();
        while (true)
        {
            var wake = broker.NextWake;
            Waiter next;
            lock (gate)
            {
                if (waiting.First is not { } first)
                {
                    serving = false;
                    return;
                }

                next = first.Value;
                waiting.RemoveFirst();
                next.Place = null;
            }

            FetchResult result;
            try
            {
                result = await FetchAsync(next.Request, CancellationToken.None);
            }
            catch (Exception failure)
            {
                // The world's failure: whoever waits hears of it, and comes back.
                FailAll(next, failure);
                return;
            }

            if (result.Blocks.Count > 0)
            {
                next.Answer.TrySetResult(result);
                continue;
            }

            if (!ReturnToHead(next))
            {
                continue;
            }

            await SleepAsync(wake, result.Next);
        }
    }

    private async Task SleepAsync(Task wake, TimeSpan? next)
    {
        using var awake = new CancellationTokenSource();
        await Task.WhenAny(wake, Task.Delay(next is { } due && due < LongestSleep ? due : LongestSleep, time, awake.Token));
        await awake.CancelAsync();
    }

    private bool ReturnToHead(Waiter waiter)
    {
        lock (gate)
        {
            if (waiter.Left)
            {
                waiter.Answer.TrySetResult(null);
                return false;
            }

            waiter.Place = waiting.AddFirst(waiter);
            return true;
        }
    }

    private void FailAll(Waiter current, Exception failure)
    {
        lock (gate)
        {
            serving = false;
            foreach (var waiter in waiting.Append(current))
            {
                waiter.Place = null;
                waiter.Answer.TrySetException(failure);
            }

            waiting.Clear();
        }
    }

    private sealed class Waiter(FetchRequest request)
    {
        public FetchRequest Request => request;

        public TaskCompletionSource<FetchResult?> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Null while it is being served, and after.</summary>
        public LinkedListNode<Waiter>? Place { get; set; }

        /// <summary>Gave up: its time is over, or its client is gone.</summary>
        public bool Left { get; set; }
    }
}
