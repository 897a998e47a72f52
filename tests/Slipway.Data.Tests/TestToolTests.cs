using System.Net.Sockets;
using System.Text;
using Dapper;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Data.Tests;

/// <summary>The tools every other test leans on.</summary>
public sealed class TestToolTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Manual_clock_fires_delays_in_order_of_due_time()
    {
        var time = new ManualTimeProvider();
        var order = new List<string>();
        using var second = time.CreateTimer(_ => order.Add($"b {time.GetUtcNow():ss}"), null, TimeSpan.FromSeconds(2), Timeout.InfiniteTimeSpan);
        using var first = time.CreateTimer(_ => order.Add($"a {time.GetUtcNow():ss}"), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        var delay = Task.Delay(TimeSpan.FromSeconds(5), time, Token);

        time.Advance(TimeSpan.FromSeconds(3));

        order.ShouldBe(["a 06", "b 07", "a 08"]);
        delay.IsCompleted.ShouldBeFalse();
        time.Advance(TimeSpan.FromSeconds(2));
        await delay;
        time.GetElapsedTime(0).ShouldBe(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task Manual_clock_tells_when_code_has_gone_to_sleep()
    {
        var time = new ManualTimeProvider();
        var asleep = time.WaitForTimersAsync(1, Token);
        asleep.IsCompleted.ShouldBeFalse();

        using var cancellation = new CancellationTokenSource(TimeSpan.FromMinutes(1), time);

        await asleep;
        time.Advance(TimeSpan.FromMinutes(1));
        cancellation.IsCancellationRequested.ShouldBeTrue();
        time.TimerCount.ShouldBe(0);
    }

    [Fact]
    public async Task Eventually_gives_up_with_the_last_failure()
    {
        var failure = await Should.ThrowAsync<TimeoutException>(() => Eventually.PassesAsync(
            _ => throw new InvalidOperationException("still wrong"), Token, TimeSpan.FromMilliseconds(20)));

        failure.InnerException!.Message.ShouldBe("still wrong");
    }

    [Fact]
    public async Task Test_databases_know_nothing_of_each_other()
    {
        var boats = new MigrationModule("boats", typeof(TestToolTests).Assembly);
        await using var one = await PostgresFixture.CreateDatabaseAsync([boats], Token);
        await using var other = await PostgresFixture.CreateDatabaseAsync([boats], Token);
        await using (var connection = await one.Database.OpenAsync(Token))
        {
            await connection.ExecuteAsync("insert into boat (id, name) values (gen_random_uuid(), 'Ida')");
        }

        await using var elsewhere = await other.Database.OpenAsync(Token);
        (await elsewhere.ExecuteScalarAsync<int>("select count(*)::int from boat")).ShouldBe(0);
    }

    [Fact]
    public async Task Private_redis_keeps_what_was_acknowledged_over_kill_and_restart()
    {
        await using var redis = await RedisFixture.StartAsync(Token, tcp: true, durable: true);
        (await AskAsync(redis.SocketPath, "SET boat Ida\r\n")).ShouldBe("+OK\r\n");
        var before = redis.ProcessId;

        await redis.KillAsync(Token);
        await redis.RestartAsync(Token);

        redis.ProcessId.ShouldNotBe(before);
        (await AskAsync(redis.SocketPath, "GET boat\r\n")).ShouldBe("$3\r\nIda\r\n");
        redis.Port.ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task Engine_and_folder_of_a_test_are_gone_after_it()
    {
        var redis = await RedisFixture.StartAsync(Token);
        var pid = redis.ProcessId;
        Directory.Exists($"/proc/{pid}").ShouldBeTrue();

        await redis.DisposeAsync();

        ProcessTable.IsAlive(pid).ShouldBeFalse();
        Directory.Exists(Path.GetDirectoryName(redis.SocketPath)).ShouldBeFalse();
    }

    private static async Task<string> AskAsync(string socketPath, string command)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), Token);
        await socket.SendAsync(Encoding.ASCII.GetBytes(command), Token);
        var buffer = new byte[256];
        return Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer, Token));
    }
}
