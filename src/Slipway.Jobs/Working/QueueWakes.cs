using System.Globalization;
using Slipway.Queue;

namespace Slipway.Jobs.Working;

/// <summary>Numbers a queue's wake-ups on this server, so that somebody who asks again and again misses none in between.</summary>
internal sealed class QueueWakes(IQueueBroker broker, TimeProvider time)
{
    /// <summary>Marks of another server, or of this one before its restart, are never up to date.</summary>
    private readonly string epoch = Random.Shared.Next().ToString("x", CultureInfo.InvariantCulture);

    private readonly Lock gate = new();
    private Task current = Task.CompletedTask;
    private long number;

    /// <summary>Where things stand.</summary>
    public string Seen
    {
        get
        {
            lock (gate)
            {
                Advance();
                return string.Create(CultureInfo.InvariantCulture, $"{epoch}.{number}");
            }
        }
    }

    /// <summary>Returns when something may have become ready since <paramref name="after"/>, or the time is over.</summary>
    public async Task WaitAsync(string? after, TimeSpan wait, CancellationToken end)
    {
        Task wake;
        lock (gate)
        {
            Advance();
            if (after != string.Create(CultureInfo.InvariantCulture, $"{epoch}.{number}"))
            {
                return;
            }

            wake = current;
        }

        using var over = CancellationTokenSource.CreateLinkedTokenSource(end);
        await Task.WhenAny(wake, Task.Delay(wait, time, over.Token));
        await over.CancelAsync();
    }

    private void Advance()
    {
        if (current.IsCompleted)
        {
            current = broker.NextWake;
            number++;
        }
    }
}
