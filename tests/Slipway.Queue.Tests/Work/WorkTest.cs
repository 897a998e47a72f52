using Slipway.Testing;

namespace Slipway.Queue.Tests.Work;

/// <summary>A queue in memory and a clock that the test moves, for one test.</summary>
public abstract class WorkTest : IAsyncLifetime
{
    private readonly List<WorkQueue> opened = [];

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    private protected ManualTimeProvider Time { get; } = new();

    private protected MemoryBroker Broker { get; private set; } = null!;

    public ValueTask InitializeAsync()
    {
        Broker = new MemoryBroker(Time);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (WorkQueue queue in opened)
        {
            // Handlers that a test left behind are cancelled at once; the clock has to move for those that ignore it.
            Task stopped = queue.StopAsync(new CancellationToken(canceled: true));
            while (!stopped.IsCompleted)
            {
                Time.Advance(TimeSpan.FromSeconds(1));
                await Task.Yield();
            }

            await stopped;
            await queue.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    protected WorkQueue Open(Func<WorkQueueOptions, WorkQueueOptions>? configure = null)
    {
        var options = new WorkQueueOptions { Time = Time };
        var queue = new WorkQueue(Broker, configure?.Invoke(options) ?? options);
        opened.Add(queue);
        return queue;
    }

    protected static JobDraft Draft(string type = "test") => new() { Type = type };

    /// <summary>Moves the clock in steps until something is so.</summary>
    protected Task AdvanceUntilAsync(Func<bool> condition, TimeSpan step) => Eventually.TrueAsync(
        () =>
        {
            if (condition())
            {
                return true;
            }

            Time.Advance(step);
            return condition();
        },
        Token);

    protected static TaskCompletionSource Signal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
