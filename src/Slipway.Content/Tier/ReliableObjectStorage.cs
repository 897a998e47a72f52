using System.Runtime.CompilerServices;

namespace Slipway.Content;

/// <summary>How hard a caller tries.</summary>
/// <param name="Attempts">With the first one.</param>
/// <param name="FirstDelay">Before the second attempt; doubles from there, and half of it is left to chance.</param>
/// <param name="Patience">For an answer without a body. Bodies get a second more for every <see cref="BytesPerSecond"/>.</param>
internal sealed record Persistence(int Attempts, TimeSpan FirstDelay, TimeSpan Patience)
{
    /// <summary>256 KiB/s: a slower path to S3 is as good as none.</summary>
    private const int BytesPerSecond = 256 << 10;

    /// <summary>Somebody waits: a second try after 50 ms, and 5 s for the first byte, which S3 sends within 0.2 s on its bad days.</summary>
    public static Persistence OfReaders { get; } = new(2, TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(5));

    /// <summary>Nobody waits. What fails here as well is tried again with the next round.</summary>
    public static Persistence OfShipping { get; } = new(4, TimeSpan.FromMilliseconds(250), TimeSpan.FromSeconds(30));

    public TimeSpan PatienceFor(long bytes) => Patience + TimeSpan.FromSeconds(bytes / BytesPerSecond);
}

/// <summary>Adds to a storage what a network asks for: a time limit per attempt, further attempts, and a <see cref="CircuitBreaker"/>.</summary>
internal sealed class ReliableObjectStorage(IObjectStorage inner, Persistence persistence, CircuitBreaker breaker, TimeProvider time, Random random) : IObjectStorage
{
    public ValueTask<StoredObject> PutAsync(string key, ObjectContent content, PutCondition condition, CancellationToken cancellationToken) =>
        TryAsync(content.Length, token => inner.PutAsync(key, content, condition, token), cancellationToken);

    public ValueTask<string> StartPartsAsync(string key, CancellationToken cancellationToken) =>
        TryAsync(0, token => inner.StartPartsAsync(key, token), cancellationToken);

    public ValueTask<string> PutPartAsync(string key, string upload, int number, ObjectContent content, CancellationToken cancellationToken) =>
        TryAsync(content.Length, token => inner.PutPartAsync(key, upload, number, content, token), cancellationToken);

    public ValueTask FinishPartsAsync(string key, string upload, IReadOnlyList<string> tags, CancellationToken cancellationToken) =>
        TryAsync(0, token => inner.FinishPartsAsync(key, upload, tags, token), cancellationToken);

    public ValueTask<int> AbandonPartsAsync(string prefix, DateTimeOffset startedBefore, CancellationToken cancellationToken) =>
        TryAsync(0, token => inner.AbandonPartsAsync(prefix, startedBefore, token), cancellationToken);

    public ValueTask<StoredObject?> HeadAsync(string key, CancellationToken cancellationToken) =>
        TryAsync(0, token => inner.HeadAsync(key, token), cancellationToken);

    public ValueTask<int> ReadAsync(string key, long offset, Memory<byte> destination, CancellationToken cancellationToken) =>
        TryAsync(destination.Length, token => inner.ReadAsync(key, offset, destination, token), cancellationToken);

    public ValueTask<FetchedObject> GetAsync(string key, string? unlessTag, CancellationToken cancellationToken) =>
        TryAsync(0, token => inner.GetAsync(key, unlessTag, token), cancellationToken);

    public ValueTask DeleteAsync(IReadOnlyCollection<string> keys, CancellationToken cancellationToken) =>
        TryAsync(0, token => inner.DeleteAsync(keys, token), cancellationToken);

    // One attempt a listing, as it is a conversation: who lists begins again. The time limit is for each page.
    public async IAsyncEnumerable<StoredObject> ListAsync(string prefix, string? after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(persistence.Patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        await using var list = inner.ListAsync(prefix, after, both.Token).GetAsyncEnumerator(both.Token);
        while (await TryAsync(0, _ => list.MoveNextAsync(), cancellationToken, attempts: 1))
        {
            limit.CancelAfter(Timeout.InfiniteTimeSpan);
            yield return list.Current;
            limit.CancelAfter(persistence.Patience);
        }
    }

    public void Dispose() => inner.Dispose();

    private async ValueTask TryAsync(long bytes, Func<CancellationToken, ValueTask> call, CancellationToken cancellationToken) =>
        await TryAsync(bytes, async token =>
        {
            await call(token);
            return true;
        }, cancellationToken);

    private async ValueTask<T> TryAsync<T>(long bytes, Func<CancellationToken, ValueTask<T>> call, CancellationToken cancellationToken, int attempts = int.MaxValue)
    {
        attempts = Math.Min(attempts, persistence.Attempts);
        for (var attempt = 1; ; attempt++)
        {
            if (!breaker.TryEnter())
            {
                throw new ObjectStorageException(ObjectFailure.Unavailable, breaker.Problem ?? "The object storage does not answer.");
            }

            ObjectStorageException failure;
            using var limit = new CancellationTokenSource(persistence.PatienceFor(bytes), time);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
            try
            {
                var answer = await call(both.Token);
                breaker.Succeeded();
                return answer;
            }
            catch (ObjectStorageException e) when (e.Failure == ObjectFailure.Conflict)
            {
                // It answered, and by the rules.
                breaker.Succeeded();
                throw;
            }
            catch (ObjectStorageException e)
            {
                failure = e;
            }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                failure = new ObjectStorageException(ObjectFailure.Unavailable, $"The object storage did not answer within {persistence.PatienceFor(bytes).TotalSeconds:0} s.", e);
            }
            catch
            {
                breaker.Abandoned();
                throw;
            }

            breaker.Failed(failure.Message);
            if (failure.Failure != ObjectFailure.Unavailable || attempt >= attempts)
            {
                throw failure;
            }

            var delay = persistence.FirstDelay * Math.Pow(2, attempt - 1);
            await Task.Delay((delay / 2) + (delay / 2 * random.NextDouble()), time, cancellationToken);
        }
    }
}
