using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Broker;

public sealed class Eviction
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("allkeys-lru", true)]
    [InlineData("allkeys-random", true)]
    [InlineData("volatile-lru", false)]
    [InlineData("noeviction", false)]
    public async Task A_queue_opens_only_where_no_job_can_be_evicted(string policy, bool refused)
    {
        await using RedisFixture server = await RedisFixture.StartAsync(Token);
        await using IRespClient redis = await RespClient.ConnectAsync(new RespOptions { Url = server.Url }, NullLogger.Instance, Token);
        await redis.SendAsync(RespCommand.Of("CONFIG", "SET", "maxmemory-policy", policy), Token);

        Func<Task> opening = async () => await (await RedisBroker.OpenAsync(redis, "test", new BrokerOptions(), Token)).DisposeAsync();

        if (refused)
        {
            (await opening.ShouldThrowAsync<EvictionException>()).Policy.ShouldBe(policy);
            await (await RedisBroker.OpenAsync(redis, "test", new BrokerOptions { AllowEviction = true }, Token)).DisposeAsync();
        }
        else
        {
            await opening();
        }
    }
}
