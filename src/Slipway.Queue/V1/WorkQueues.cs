using Slipway.Resp;

namespace Slipway.Queue.V1;

/// <summary>Opens queues over one connection, so that features need not know of it.</summary>
public sealed class WorkQueues(IRespClient redis, WorkQueueOptions options, TimeProvider time)
{
    /// <summary>The queue <paramref name="name"/>. The caller owns and disposes it.</summary>
    public WorkQueue Open(string name) => Open(name, options);

    public WorkQueue Open(string name, WorkQueueOptions options) => new(redis, name, options, time);
}
