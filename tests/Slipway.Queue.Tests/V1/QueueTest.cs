using Slipway.Queue.V1;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Resp;
using Slipway.Testing;

namespace Slipway.QueueV1.Tests;

/// <summary>A redis-server and a queue for one test.</summary>
public abstract class QueueTest : IAsyncLifetime
{
    /// <summary>Long: tests must not pass because of the safety poll.</summary>
    protected static readonly WorkQueueOptions Defaults = new() { SafetyPoll = TimeSpan.FromHours(1) };

    protected static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly List<IAsyncDisposable> opened = [];

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    protected RedisFixture Server { get; private set; } = null!;

    protected RespConnection Redis { get; private set; } = null!;

    protected WorkQueue Queue { get; private set; } = null!;

    protected virtual bool Durable => false;

    public async ValueTask InitializeAsync()
    {
        Server = await RedisFixture.StartAsync(Token, durable: Durable);
        Redis = await ConnectAsync();
        Queue = Open(Defaults);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable one in Enumerable.Reverse(opened))
        {
            await one.DisposeAsync();
        }

        await Server.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    protected async Task<RespConnection> ConnectAsync()
    {
        RespConnection connection = await RespConnection.ConnectAsync(
            new RespOptions { Url = Server.Url, MaxReconnectDelay = TimeSpan.FromMilliseconds(50) }, NullLogger.Instance, Token);
        opened.Add(connection);
        return connection;
    }

    /// <summary>The same queue under other limits.</summary>
    protected WorkQueue Open(WorkQueueOptions options, TimeProvider? time = null)
    {
        var queue = new WorkQueue(Redis, "test", options, time ?? TimeProvider.System);
        opened.Add(queue);
        return queue;
    }

    protected Task<EnqueueOutcome> EnqueueAsync(string id, string type = "work") =>
        Queue.EnqueueAsync(new JobDraft(id, type, "payload"u8.ToArray()), Token);

    /// <summary>The next job, which must be there already.</summary>
    protected async Task<Lease> LeaseAsync(TimeSpan? visibility = null) =>
        (await Queue.LeaseAsync(visibility ?? Minute, TimeSpan.Zero, Token)).ShouldNotBeNull();

    protected async Task<RespValue> SendAsync(params RespArgument[] words) => await Redis.SendAsync(RespCommand.Of(words), Token);

    protected static string Key(string name) => "{slipway:q:test}:1:" + name;

    /// <summary>Reaps until something was put back or died: the deadline passes by the clock of Redis.</summary>
    protected Task ReapExpiredAsync(WorkQueue queue) => Eventually.TrueAsync(
        async token =>
        {
            ReapResult step = await queue.ReapAsync(token);
            return step.PutBack + step.Died > 0;
        },
        Token);

    /// <summary>Every id is in exactly one state, and has what this state needs.</summary>
    protected async Task ShouldBeConsistentAsync()
    {
        List<string> ready = await IdsAsync("LRANGE", "ready");
        List<string> delayed = await IdsAsync("ZRANGE", "delayed");
        List<string> leases = await IdsAsync("ZRANGE", "leases");
        List<string> dead = await IdsAsync("ZRANGE", "dead");
        List<string> done = await IdsAsync("ZRANGE", "done");
        string[] open = [.. ready, .. delayed, .. leases, .. dead];
        string[] known = [.. open, .. done];
        known.ShouldBeUnique();
        (await FieldsAsync("jobs")).ShouldBe(open, ignoreOrder: true);
        (await FieldsAsync("runs")).ShouldBe(known, ignoreOrder: true);
        (await FieldsAsync("errors")).ShouldBeSubsetOf(open);
    }

    private async Task<List<string>> IdsAsync(string command, string key) =>
        [.. (await SendAsync(command, Key(key), 0, -1)).Items.Select(id => id.AsString())];

    private async Task<List<string>> FieldsAsync(string key) => [.. (await SendAsync("HKEYS", Key(key))).Items.Select(id => id.AsString())];
}
