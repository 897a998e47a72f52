namespace Slipway.Queue.Work;

/// <summary>
/// Leased jobs that wait for a slot, and slots that wait for a job. Slots come for their jobs themselves: a handler that does not
/// wait costs no switch of threads.
/// </summary>
internal sealed class ReadyJobs(AsyncSignal fetch)
{
    private readonly Lock gate = new();
    private readonly Queue<BlockRun> blocks = new();
    private readonly Stack<Slot> idle = new();
    private TaskCompletionSource? whenIdle;
    private int queued;
    private int held;
    private int busy;
    private int onThread;
    private int lowWater;
    private int maxOnThread = int.MaxValue;
    private long taken;

    /// <summary>Unstarted jobs, without those over their type's limit.</summary>
    public int Queued => Volatile.Read(ref queued);

    public int Held => Volatile.Read(ref held);

    /// <summary>Jobs that were started: a number that stands still shows that no slot gets free.</summary>
    public long Taken => Volatile.Read(ref taken);

    public int Busy => Volatile.Read(ref busy);

    public int Idle
    {
        get
        {
            lock (gate)
            {
                return idle.Count;
            }
        }
    }

    /// <summary>At this many unstarted jobs the fetch loop wants to know.</summary>
    public void FetchAt(int unstarted) => Volatile.Write(ref lowWater, unstarted);

    /// <summary>
    /// How many slots to have on threads at once: more than processors are of no use to handlers that never wait, and each
    /// costs a wake-up.
    /// </summary>
    public void KeepOnThread(int slots) => Volatile.Write(ref maxOnThread, slots);

    public void AddSlot(Slot slot)
    {
        lock (gate)
        {
            idle.Push(slot);
        }

        WakeOne();
    }

    public void Add(BlockRun block, int jobs)
    {
        lock (gate)
        {
            blocks.Enqueue(block);
            queued += jobs;
        }

        WakeOne();
    }

    /// <summary>The next job for a slot, which comes from a job of <paramref name="ended"/>. False: none, the slot is idle now.</summary>
    public bool TryTake(Slot slot, Handler? ended, out BlockRun block, out int index, out Handler handler)
    {
        Slot? another = null;
        bool found;
        bool low;
        lock (gate)
        {
            if (ended is not null)
            {
                ended.Running--;
                busy--;
            }

            found = TakeHeld(ended, out block, out index, out handler) || TakeQueued(out block, out index, out handler);
            if (found)
            {
                taken++;
                busy++;
                handler.Running++;
                another = queued > 0 && onThread < maxOnThread ? Start() : null;
            }
            else
            {
                onThread--;
                idle.Push(slot);
                if (busy == 0)
                {
                    whenIdle?.TrySetResult();
                }
            }

            low = queued <= lowWater;
        }

        another?.Schedule();
        if (low)
        {
            fetch.Raise();
        }

        return found;
    }

    /// <summary>A slot's handler waits, and its thread is free for another slot.</summary>
    public void LeaveThread()
    {
        Interlocked.Decrement(ref onThread);
        if (Queued > 0)
        {
            WakeOne();
        }
    }

    public void EnterThread() => Interlocked.Increment(ref onThread);

    /// <summary>A slot is not coming back: its handler does not return.</summary>
    public void Lose(Handler handler)
    {
        lock (gate)
        {
            handler.Running--;
            busy--;
            if (busy == 0)
            {
                whenIdle?.TrySetResult();
            }
        }
    }

    public void WakeOne()
    {
        Slot? slot;
        lock (gate)
        {
            slot = queued > 0 ? Start() : null;
        }

        slot?.Schedule();
    }

    /// <summary>Takes back what has not started, together with what these handlers hold.</summary>
    public List<(BlockRun Block, int Index)> TakeUnstarted(IEnumerable<Handler> handlers)
    {
        var unstarted = new List<(BlockRun, int)>();
        lock (gate)
        {
            while (TakeNext(out BlockRun block, out int index, out _))
            {
                unstarted.Add((block, index));
            }

            foreach (Handler handler in handlers)
            {
                held -= handler.Held.Count;
                unstarted.AddRange(handler.Held);
                handler.Held.Clear();
            }
        }

        return unstarted;
    }

    /// <summary>Completes when no handler runs.</summary>
    public Task WhenIdleAsync()
    {
        lock (gate)
        {
            whenIdle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (busy == 0)
            {
                whenIdle.SetResult();
            }

            return whenIdle.Task;
        }
    }

    private Slot? Start()
    {
        if (idle.TryPop(out Slot? slot))
        {
            onThread++;
        }

        return slot;
    }

    private bool TakeHeld(Handler? ended, out BlockRun block, out int index, out Handler handler)
    {
        while (ended is not null && ended.Running < ended.Limit && ended.Held.TryDequeue(out (BlockRun Block, int Index) job))
        {
            held--;
            if (!Volatile.Read(ref job.Block.Lost))
            {
                (block, index, handler) = (job.Block, job.Index, ended);
                return true;
            }
        }

        (block, index, handler) = (null!, 0, null!);
        return false;
    }

    private bool TakeQueued(out BlockRun block, out int index, out Handler handler)
    {
        while (TakeNext(out block!, out index, out handler))
        {
            if (handler.Running < handler.Limit)
            {
                return true;
            }

            handler.Held.Enqueue((block, index));
            held++;
        }

        return false;
    }

    private bool TakeNext(out BlockRun block, out int index, out Handler handler)
    {
        while (blocks.TryPeek(out block!))
        {
            for (index = block.Next; index < block.Handlers.Length; index++)
            {
                if (block.Handlers[index] is { } found)
                {
                    queued--;
                    if (!Volatile.Read(ref block.Lost))
                    {
                        handler = found;
                        block.Next = index + 1;
                        return true;
                    }
                }
            }

            blocks.Dequeue();
        }

        (block, index, handler) = (null!, 0, null!);
        return false;
    }
}
