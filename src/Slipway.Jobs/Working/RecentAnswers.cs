using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.Tenancy;

namespace Slipway.Jobs.Working;

/// <summary>
/// Answers to calls with an <c>Idempotency-Key</c>, for the moment in which a client repeats one whose answer was lost. In memory of this
/// server: what a repetition at another one finds is said in docs/protocols/jobs-http.md.
/// </summary>
internal sealed class RecentAnswers(TimeProvider time)
{
    /// <summary>Longer than a client's tries of one call go on.</summary>
    private static readonly TimeSpan KeptFor = TimeSpan.FromMinutes(2);

    /// <summary>64 MiB: a thousand large leases.</summary>
    private const long MostBytes = 64 * 1024 * 1024;

    private readonly Lock gate = new();
    private readonly Dictionary<string, Answer> answers = new(StringComparer.Ordinal);
    private readonly Queue<(string Key, Answer Answer)> order = new();
    private long bytes;

    /// <summary>Runs <paramref name="work"/>, or gives the answer of the same call again; one that is under way is waited for.</summary>
    public async Task<byte[]> RunAsync(HttpContext http, ReadOnlyMemory<byte> body, Func<CancellationToken, Task<byte[]>> work, CancellationToken cancellationToken)
    {
        if (http.Request.Headers["Idempotency-Key"] is not [{ Length: > 0 and <= 255 } key])
        {
            return await work(cancellationToken);
        }

        var caller = http.GetCaller();
        var place = $"{caller.PrincipalType}\n{caller.PrincipalId}\n{http.Request.Path}\n{key}";
        var fingerprint = SHA256.HashData(body.Span);
        while (true)
        {
            Answer? known;
            var mine = new Answer(fingerprint, time.GetTimestamp());
            lock (gate)
            {
                Forget();
                if (!answers.TryGetValue(place, out known))
                {
                    answers[place] = mine;
                    order.Enqueue((place, mine));
                }
            }

            if (known is null)
            {
                return await RunAsync(place, mine, work, cancellationToken);
            }

            if (!known.Fingerprint.AsSpan().SequenceEqual(fingerprint))
            {
                throw new ApiException(422, ProblemCodes.IdempotencyKeyReused, "This Idempotency-Key was used for another body.", "Use a fresh key for each new request.");
            }

            if (await known.Result.Task.WaitAsync(cancellationToken) is { } result)
            {
                http.Response.Headers["Idempotency-Replayed"] = "true";
                return result;
            }

            // The first call failed, or its client left: this one takes its place.
        }
    }

    private async Task<byte[]> RunAsync(string place, Answer mine, Func<CancellationToken, Task<byte[]>> work, CancellationToken cancellationToken)
    {
        byte[]? result = null;
        try
        {
            return result = await work(cancellationToken);
        }
        finally
        {
            lock (gate)
            {
                var isKept = answers.TryGetValue(place, out var kept) && ReferenceEquals(kept, mine);
                if (isKept && result is null)
                {
                    answers.Remove(place);
                }
                else if (isKept)
                {
                    mine.Bytes = result!.Length;
                    bytes += mine.Bytes;
                }
            }

            mine.Result.TrySetResult(result);
        }
    }

    private void Forget()
    {
        while (order.TryPeek(out var oldest) && (bytes > MostBytes || time.GetElapsedTime(oldest.Answer.At) > KeptFor))
        {
            order.Dequeue();
            if (answers.TryGetValue(oldest.Key, out var kept) && ReferenceEquals(kept, oldest.Answer))
            {
                answers.Remove(oldest.Key);
            }

            bytes -= oldest.Answer.Bytes;
            oldest.Answer.Bytes = 0;
        }
    }

    private sealed class Answer(byte[] fingerprint, long at)
    {
        public byte[] Fingerprint => fingerprint;

        public long At => at;

        public long Bytes { get; set; }

        public TaskCompletionSource<byte[]?> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
