namespace Slipway.Resp;

/// <summary>A channel we listen to, across reconnects. Dispose to stop.</summary>
public sealed class RespSubscription : IAsyncDisposable
{
    private readonly Func<RespSubscription, ValueTask> unsubscribe;

    internal RespSubscription(
        string channel, Action<ReadOnlyMemory<byte>> message, Action gap, Func<RespSubscription, ValueTask> unsubscribe)
    {
        Channel = channel;
        Message = message;
        Gap = gap;
        this.unsubscribe = unsubscribe;
    }

    public string Channel { get; }

    internal Action<ReadOnlyMemory<byte>> Message { get; }

    internal Action Gap { get; }

    public ValueTask DisposeAsync() => unsubscribe(this);
}
