namespace Slipway.Resp;

/// <summary>A channel we listen to, across reconnects. Dispose to stop.</summary>
public sealed class RespSubscription : IAsyncDisposable
{
    private readonly RespConnection connection;

    internal RespSubscription(RespConnection connection, string channel, Action<ReadOnlyMemory<byte>> message, Action gap)
    {
        this.connection = connection;
        Channel = channel;
        Message = message;
        Gap = gap;
    }

    public string Channel { get; }

    internal Action<ReadOnlyMemory<byte>> Message { get; }

    internal Action Gap { get; }

    public ValueTask DisposeAsync() => connection.UnsubscribeAsync(this);
}
