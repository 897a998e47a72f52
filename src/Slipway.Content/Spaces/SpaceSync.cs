namespace Slipway.Content;

/// <summary>
/// Makes what was written durable, for everybody who waits at once. While one sync runs, the next group gathers.
/// </summary>
/// <remarks>
/// The order makes it right: a writer writes, then marks its file dirty, then counts. A sync reads the count, then takes the dirty files,
/// then syncs them; so whatever was counted is either in a file it takes or was synced before.
/// </remarks>
internal sealed class SpaceSync(IVolume volume, Action<Action> run)
{
    private readonly Lock syncLock = new();
    private readonly List<Segment> dirtySegments = [];
    private readonly List<string> dirtyFiles = [];
    private readonly List<(long Target, TaskCompletionSource Done)> waiters = [];
    private long written;
    private long synced;
    private bool running;

    /// <summary>Grows with everything that is written.</summary>
    public long Written
    {
        get
        {
            lock (syncLock)
            {
                return written;
            }
        }
    }

    public void Wrote(Segment segment, long bytes)
    {
        lock (syncLock)
        {
            if (!segment.IsDirty)
            {
                segment.IsDirty = true;
                dirtySegments.Add(segment);
            }

            written += bytes;
        }
    }

    /// <summary>A large file has its final name. Nobody has synced it yet.</summary>
    public void WroteFile(string name)
    {
        lock (syncLock)
        {
            dirtyFiles.Add(name);
            written++;
        }
    }

    public ValueTask UntilNowAsync(CancellationToken cancellationToken)
    {
        TaskCompletionSource done;
        lock (syncLock)
        {
            if (synced == written)
            {
                return ValueTask.CompletedTask;
            }

            done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiters.Add((written, done));
            if (running)
            {
                return new ValueTask(done.Task.WaitAsync(cancellationToken));
            }

            running = true;
        }

        run(Loop);
        return new ValueTask(done.Task.WaitAsync(cancellationToken));
    }

    private void Loop()
    {
        while (true)
        {
            long goal;
            Segment[] segments;
            string[] files;
            lock (syncLock)
            {
                if (waiters.Count == 0)
                {
                    running = false;
                    return;
                }

                goal = written;
                segments = [.. dirtySegments];
                files = [.. dirtyFiles];
                dirtySegments.Clear();
                dirtyFiles.Clear();
                foreach (var segment in segments)
                {
                    segment.IsDirty = false;
                }
            }

            try
            {
                SyncFiles(segments, files);
                Complete(goal, failure: null);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
            {
                lock (syncLock)
                {
                    foreach (var segment in segments.Where(segment => !segment.IsDirty))
                    {
                        segment.IsDirty = true;
                        dirtySegments.Add(segment);
                    }

                    dirtyFiles.AddRange(files);
                }

                Complete(goal, DiskFailure.Translate(exception, "What was written can't be made durable"));
            }
        }
    }

    private void SyncFiles(Segment[] segments, string[] files)
    {
        foreach (var name in files)
        {
            try
            {
                using var file = volume.Open(name, forWriting: true);
                file.Sync();
            }
            catch (FileNotFoundException)
            {
                // Replaced or evicted since: nothing that counts refers to it.
            }
        }

        foreach (var folder in files.Select(name => name[..name.LastIndexOf('/')]).Distinct())
        {
            volume.SyncFolder(folder);
        }

        var newNames = false;
        foreach (var segment in segments)
        {
            if (segment.TryPin())
            {
                try
                {
                    segment.Sync();
                    newNames |= !segment.IsNameDurable;
                }
                finally
                {
                    segment.Unpin();
                }
            }
        }

        if (newNames)
        {
            volume.SyncFolder("segments");
            foreach (var segment in segments)
            {
                segment.IsNameDurable = true;
            }
        }
    }

    private void Complete(long goal, ContentStoreException? failure)
    {
        TaskCompletionSource[] done;
        lock (syncLock)
        {
            if (failure is null)
            {
                synced = goal;
            }

            done = [.. waiters.Where(waiter => waiter.Target <= goal).Select(waiter => waiter.Done)];
            waiters.RemoveAll(waiter => waiter.Target <= goal);
        }

        foreach (var waiter in done)
        {
            if (failure is null)
            {
                waiter.TrySetResult();
            }
            else
            {
                waiter.TrySetException(failure);
            }
        }
    }
}
