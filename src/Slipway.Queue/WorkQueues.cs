using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>Opens queues over one connection, so that features need not know of it.</summary>
public sealed class WorkQueues(IRespClient redis, TimeProvider time)
{
    /// <summary>The queue <paramref name="name"/>, made with these settings when nobody made it before. The caller owns and disposes it.</summary>
    public RedisBroker Open(string name, QueueSettings initial) => new(redis, name, new BrokerOptions { Initial = initial, Time = time });
}
