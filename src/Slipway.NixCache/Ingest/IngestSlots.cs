namespace Slipway.NixCache;

/// <summary>How many uploads may be verified at once.</summary>
internal sealed class IngestSlots(NixCacheOptions options)
{
    private readonly SemaphoreSlim free = new(options.MaxConcurrentIngests, options.MaxConcurrentIngests);

    /// <summary>A slot, given back when disposed; null when all are taken.</summary>
    public IDisposable? TryTake() => free.Wait(0) ? new Slot(free) : null;

    private sealed class Slot(SemaphoreSlim free) : IDisposable
    {
        public void Dispose() => free.Release();
    }
}
