namespace Slipway.Testing;

/// <summary>
/// A private master with a replica and a sentinel of one test, on loopback ports (about a second to start). A killed master is
/// replaced within about three seconds.
/// </summary>
public sealed class RedisSentinelFixture : IAsyncDisposable
{
    private const string MasterName = "mymaster";

    private RedisSentinelFixture(RedisFixture first, RedisFixture second, RedisFixture sentinel)
    {
        First = first;
        Second = second;
        Sentinel = sentinel;
    }

    /// <summary>The master at the start.</summary>
    public RedisFixture First { get; }

    /// <summary>Its replica at the start.</summary>
    public RedisFixture Second { get; }

    public RedisFixture Sentinel { get; }

    /// <summary><c>redis+sentinel://127.0.0.1:…/mymaster</c></summary>
    public string Url => $"redis+sentinel://127.0.0.1:{Sentinel.Port}/{MasterName}";

    public static async Task<RedisSentinelFixture> StartAsync(CancellationToken cancellationToken)
    {
        string[] quick = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];
        var first = await RedisFixture.StartAsync(cancellationToken, tcp: true, durable: false, password: null, quick);
        RedisFixture? second = null, sentinel = null;
        try
        {
            second = await RedisFixture.StartAsync(
                cancellationToken, tcp: true, durable: false, password: null, [.. quick, "--replicaof", $"127.0.0.1 {first.Port}"]);
            await Eventually.TrueAsync(
                async token => (await second.AskAsync(token, "INFO", "replication")).Contains("master_link_status:up", StringComparison.Ordinal), cancellationToken);
            sentinel = await RedisFixture.StartSentinelAsync(
                [
                    $"sentinel monitor {MasterName} 127.0.0.1 {first.Port} 1",
                    $"sentinel down-after-milliseconds {MasterName} 1000",
                    $"sentinel failover-timeout {MasterName} 3000",
                ],
                cancellationToken);
            // Without a known replica there is nobody to fail over to.
            await Eventually.TrueAsync(
                async token => (await sentinel.AskAsync(token, "SENTINEL", "MASTER", MasterName)).Contains("num-slaves\n1\n", StringComparison.Ordinal), cancellationToken);
            return new RedisSentinelFixture(first, second, sentinel);
        }
        catch
        {
            foreach (var started in (RedisFixture?[])[sentinel, second, first])
            {
                if (started is not null)
                {
                    await started.DisposeAsync();
                }
            }

            throw;
        }
    }

    /// <summary>An orderly failover; returns when the sentinel names the new master.</summary>
    public async Task FailOverAsync(CancellationToken cancellationToken)
    {
        var before = await MasterPortAsync(cancellationToken);
        await Eventually.TrueAsync(
            async token => await Sentinel.AskAsync(token, "SENTINEL", "FAILOVER", MasterName) == "OK", cancellationToken);
        await Eventually.TrueAsync(async token => await MasterPortAsync(token) != before, cancellationToken);
    }

    /// <summary>The master by the sentinel's word.</summary>
    public async Task<RedisFixture> MasterAsync(CancellationToken cancellationToken) =>
        await MasterPortAsync(cancellationToken) == First.Port.ToString(System.Globalization.CultureInfo.InvariantCulture) ? First : Second;

    public async ValueTask DisposeAsync()
    {
        await Sentinel.DisposeAsync();
        await Second.DisposeAsync();
        await First.DisposeAsync();
    }

    private async Task<string> MasterPortAsync(CancellationToken cancellationToken) =>
        (await Sentinel.AskAsync(cancellationToken, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)).Split('\n')[^1];
}
