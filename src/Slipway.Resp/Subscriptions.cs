using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>The channels that one connection listens to, across its links.</summary>
internal sealed partial class Subscriptions(CommandQueue queue, ILogger logger)
{
    private readonly Lock gate = new();
    private readonly List<RespSubscription> all = [];

    public async Task<RespSubscription> AddAsync(
        string channel, Action<ReadOnlyMemory<byte>> message, Action gap, CancellationToken cancellationToken)
    {
        var subscription = new RespSubscription(channel, message, gap, RemoveAsync);
        lock (gate)
        {
            all.Add(subscription);
        }

        try
        {
            PendingReply confirmed = queue.AddOwn(
                RespCommand.Of("SUBSCRIBE", channel) with { Idempotent = true }, PendingKind.Subscription, first: false);
            await confirmed.Task.AsTask().WaitAsync(cancellationToken).ConfigureAwait(false);
            return subscription;
        }
        catch
        {
            lock (gate)
            {
                all.Remove(subscription);
            }

            throw;
        }
    }

    /// <summary>On a new link, before everything that waits.</summary>
    public void AddAgain()
    {
        RespSubscription[] now;
        lock (gate)
        {
            now = [.. all];
        }

        foreach (IGrouping<string, RespSubscription> channel in now.GroupBy(subscription => subscription.Channel))
        {
            PendingReply confirmed = queue.AddOwn(RespCommand.Of("SUBSCRIBE", channel.Key), PendingKind.Subscription, first: true);
            _ = AnnounceGapAsync(confirmed.Task.AsTask(), [.. channel]);
        }
    }

    /// <summary>Takes a push from the wire: a message to its listeners, a confirmation to the queue. Others are skipped, as the specification says.</summary>
    /// <exception cref="RespProtocolException">A confirmation that nobody waits for.</exception>
    public void Take(in RespValue push)
    {
        if (push.Items is not [var kind, var channel, var payload])
        {
            return;
        }

        ReadOnlySpan<byte> word = kind.IsText ? kind.AsBytes().Span : default;
        if (word.SequenceEqual("message"u8))
        {
            Deliver(channel.AsString(), payload.AsBytes());
        }
        else if (word.SequenceEqual("subscribe"u8) || word.SequenceEqual("unsubscribe"u8))
        {
            queue.Answer(push);
        }
    }

    private async ValueTask RemoveAsync(RespSubscription subscription)
    {
        bool last;
        lock (gate)
        {
            last = all.Remove(subscription) && !all.Exists(other => other.Channel == subscription.Channel);
        }

        if (last)
        {
            try
            {
                await queue.AddOwn(RespCommand.Of("UNSUBSCRIBE", subscription.Channel), PendingKind.Subscription, first: false).Task.ConfigureAwait(false);
            }
            catch (RespException)
            {
                // No link, no subscription.
            }
        }
    }

    private async Task AnnounceGapAsync(Task<RespValue> confirmed, RespSubscription[] listeners)
    {
        await ((Task)confirmed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (RespSubscription listener in confirmed.IsCompletedSuccessfully ? listeners : [])
        {
            Guard(listener, static (listener, _) => listener.Gap(), default);
        }
    }

    private void Deliver(string channel, ReadOnlyMemory<byte> payload)
    {
        RespSubscription[] listeners;
        lock (gate)
        {
            listeners = [.. all.Where(subscription => subscription.Channel == channel)];
        }

        foreach (RespSubscription listener in listeners)
        {
            Guard(listener, static (listener, payload) => listener.Message(payload), payload);
        }
    }

    /// <summary>A listener's bug must not end the connection of everybody else.</summary>
    private void Guard(RespSubscription listener, Action<RespSubscription, ReadOnlyMemory<byte>> call, ReadOnlyMemory<byte> payload)
    {
        try
        {
            call(listener, payload);
        }
        catch (Exception fault)
        {
            Log.ListenerFailed(logger, listener.Channel, fault);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(4, LogLevel.Error, "A listener to the Redis channel {Channel} failed")]
        public static partial void ListenerFailed(ILogger logger, string channel, Exception fault);
    }
}
