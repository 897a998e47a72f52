using Slipway.Queue.Tests.Broker;
using Slipway.Testing;

[assembly: AssemblyFixture(typeof(RedisFleet))]

namespace Slipway.Queue.Tests.Broker;

// Every transition on every kind of Redis.
public sealed class TransitionsOnOneServer(RedisFleet fleet) : Transitions(fleet, RedisKind.Single);

[Trait("speed", "slow")]
public sealed class TransitionsOnCluster(RedisFleet fleet) : Transitions(fleet, RedisKind.Cluster);

[Trait("speed", "slow")]
public sealed class TransitionsBehindSentinel(RedisFleet fleet) : Transitions(fleet, RedisKind.Sentinel);

public sealed class LinkedOnOneServer(RedisFleet fleet) : Linked(fleet, RedisKind.Single);

[Trait("speed", "slow")]
public sealed class LinkedOnCluster(RedisFleet fleet) : Linked(fleet, RedisKind.Cluster);

[Trait("speed", "slow")]
public sealed class LinkedBehindSentinel(RedisFleet fleet) : Linked(fleet, RedisKind.Sentinel);

public sealed class LimitsOnOneServer(RedisFleet fleet) : Limits(fleet, RedisKind.Single);

[Trait("speed", "slow")]
public sealed class LimitsOnCluster(RedisFleet fleet) : Limits(fleet, RedisKind.Cluster);

[Trait("speed", "slow")]
public sealed class LimitsBehindSentinel(RedisFleet fleet) : Limits(fleet, RedisKind.Sentinel);

public enum RedisKind
{
    Single,

    /// <summary>Three masters.</summary>
    Cluster,

    /// <summary>A master and a replica that a sentinel watches.</summary>
    Sentinel,
}

/// <summary>One of each kind for all tests of the process, started when first asked for.</summary>
public sealed class RedisFleet : IAsyncDisposable
{
    private readonly Lazy<Task<RedisFixture>> single = new(() => RedisFixture.StartAsync(CancellationToken.None));
    private readonly Lazy<Task<RedisClusterFixture>> cluster = new(() => RedisClusterFixture.StartAsync(CancellationToken.None));
    private readonly Lazy<Task<RedisSentinelFixture>> sentinel = new(() => RedisSentinelFixture.StartAsync(CancellationToken.None));

    public async Task<string> UrlOfAsync(RedisKind kind) => kind switch
    {
        RedisKind.Cluster => (await cluster.Value).Url,
        RedisKind.Sentinel => (await sentinel.Value).Url,
        _ => (await single.Value).Url,
    };

    public async ValueTask DisposeAsync()
    {
        if (single.IsValueCreated)
        {
            await (await single.Value).DisposeAsync();
        }

        if (cluster.IsValueCreated)
        {
            await (await cluster.Value).DisposeAsync();
        }

        if (sentinel.IsValueCreated)
        {
            await (await sentinel.Value).DisposeAsync();
        }
    }
}
