using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.Queue.Tests.Broker;

/// <summary>A queue of its own for one test, on one of the kinds of Redis that we promise to run on.</summary>
public abstract class BrokerTest(RedisFleet fleet, RedisKind kind) : IAsyncLifetime
{
    protected static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly List<IAsyncDisposable> opened = [];
    private readonly string name = $"test-{Guid.NewGuid():N}";

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    protected IRespClient Redis { get; private set; } = null!;

    protected RedisBroker Queue { get; private set; } = null!;

    public virtual async ValueTask InitializeAsync()
    {
        Redis = await RespClient.ConnectAsync(new RespOptions { Url = await fleet.UrlOfAsync(kind) }, NullLogger.Instance, Token);
        opened.Add(Redis);
        Queue = await OpenAsync("w1");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable one in Enumerable.Reverse(opened))
        {
            await one.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>The same queue as another worker.</summary>
    protected async Task<RedisBroker> OpenAsync(string worker)
    {
        RedisBroker broker = await RedisBroker.OpenAsync(Redis, name, new BrokerOptions { WorkerId = worker }, Token);
        opened.Add(broker);
        return broker;
    }

    protected async Task<Guid> AddAsync(string type, Func<JobDraft, JobDraft>? with = null)
    {
        JobDraft draft = new() { Type = type, Payload = "payload"u8.ToArray() };
        return (await Queue.EnqueueAsync([with?.Invoke(draft) ?? draft], Durability.Server, Token)).ShouldHaveSingleItem().Id;
    }

    protected async Task AddManyAsync(string type, int count, JobPriority priority = JobPriority.Normal) =>
        await Queue.EnqueueAsync([.. Enumerable.Range(0, count).Select(i => new JobDraft { Type = type, Payload = BitConverter.GetBytes(i), Priority = priority })], Durability.Server, Token);

    protected Task<FetchResult> FetchAsync(int max, params string[] finished) => Queue.FetchAsync(new FetchRequest(max, Minute, finished), Token);

    /// <summary>One block, which must be there already.</summary>
    protected async Task<JobBlock> LeaseAsync(int max = 1, TimeSpan? lease = null) =>
        (await Queue.FetchAsync(new FetchRequest(max, lease ?? Minute, []), Token)).Blocks.ShouldHaveSingleItem();

    protected Task<bool> EndAsync(JobBlock block, int index, JobEndKind kind, TimeSpan after = default, string result = "") =>
        Queue.SettleAsync(block.Id, [new JobEnd(index, kind, after, "test", "an error", System.Text.Encoding.UTF8.GetBytes(result))], Token);

    /// <summary>Takes away blocks whose deadline has passed by the clock of Redis.</summary>
    protected async Task<BlockReap> ReapAsync()
    {
        BlockReap reap = new(0, 0);
        await Eventually.TrueAsync(
            async token =>
            {
                FetchResult look = await Queue.FetchAsync(new FetchRequest(0, Minute, []), token);
                reap = await Queue.ReapAsync(look.Expired, token);
                return reap.PutBack + reap.Died > 0;
            },
            Token);
        return reap;
    }

    protected async Task<RespValue> SendAsync(params RespArgument[] words) => await Redis.SendAsync(RespCommand.Of(words), Token);

    protected string Key(string key) => $"{{slipway:q:{name}}}:2:{key}";

    /// <summary>Nothing of any job is left: no entry, no lease, no lock, no counter that is off.</summary>
    protected async Task ShouldBeEmptyAsync()
    {
        foreach (string key in new[] { "leases", "blocks", "acked", "delayed", "waiting", "unique", "big", "ready:0", "ready:3", "ready:7", "held:1" })
        {
            (await SendAsync("EXISTS", Key(key))).AsInteger().ShouldBe(0, key);
        }

        (await SendAsync("HGET", Key("meta"), "live")).AsInteger().ShouldBe(0);
        (await SendAsync("HGET", Key("meta"), "bytes")).AsInteger().ShouldBe(0);
    }
}
