using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>
/// A producer with sequence numbers, as the queue has: the server takes number n only after n-1, and knows what it has already.
/// Any overtaking among what is sent or sent again shows as GAP, anything lost as a missing number.
/// </summary>
internal sealed class SequencedProducer(IRespClient client, string tag)
{
    private static readonly RespScript Take = new("take", """
        local last = tonumber(redis.call('GET', KEYS[1]) or '0')
        local number = tonumber(ARGV[1])
        if number <= last then return 0 end
        if number ~= last + 1 then return redis.error_reply('GAP ' .. last .. ' then ' .. number) end
        redis.call('SET', KEYS[1], number)
        redis.call('RPUSH', KEYS[2], number)
        return 1
        """);

    public string List => $"{{{tag}}}list";

    public string Last => $"{{{tag}}}last";

    /// <summary>Sends without waiting for answers, other than by back-pressure, for as long as <paramref name="disturbance"/> runs, and checks.</summary>
    public async Task RunAsync(Task disturbance, CancellationToken cancellationToken)
    {
        var answers = new List<Task<RespValue>>();
        while (!disturbance.IsCompleted || answers.Count < 100)
        {
            for (int i = 0; i < 20; i++)
            {
                answers.Add(client.EvaluateAsync(
                    Take, new RespArgument[] { Last, List }, new RespArgument[] { answers.Count + 1 }, true, false, cancellationToken).AsTask());
            }

            // Some way ahead of the answers, so that many are on the wire whatever happens to it.
            await answers[Math.Max(0, answers.Count - 400)];
        }

        await disturbance;
        await Task.WhenAll(answers);
        RespValue list = await client.SendAsync(RespCommand.Of("LRANGE", List, 0, -1) with { Idempotent = true }, cancellationToken);
        list.Items.Select(item => item.AsInteger()).ShouldBe(Enumerable.Range(1, answers.Count).Select(i => (long)i));
    }

    /// <summary>Does something to the server again and again, each time after the producer has got further.</summary>
    public async Task DisturbAsync(RedisFixture watched, int times, Func<int, Task> disturb, CancellationToken cancellationToken)
    {
        string before = "";
        for (int round = 0; round < times; round++)
        {
            await Eventually.TrueAsync(
                async token => await watched.AskAsync(token, "GET", Last) is var now && now != before && int.TryParse(before = now, out int _), cancellationToken);
            await disturb(round);
        }
    }
}
