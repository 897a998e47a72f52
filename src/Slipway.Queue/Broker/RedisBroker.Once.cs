using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>Makes calls the same: two with one mark enqueue once, from whatever process they come.</summary>
/// <param name="Producer">Who numbers the calls, or the key of one call. At most 64 printable ASCII characters without blanks and braces.</param>
/// <param name="Sequence">Of the call, growing; 1 for the key of one call.</param>
/// <param name="Fingerprint">Of what is enqueued: a mark used again for something else is an error. At most 64 characters without blanks.</param>
/// <param name="IsKey">The key of one call and not a producer with many: forgotten after ten minutes.</param>
public sealed record EnqueueMark(string Producer, long Sequence, string Fingerprint, bool IsKey);

/// <summary>A mark was used before: for something else, or a later call of the producer was made already.</summary>
public sealed class EnqueueMarkReusedException(string message) : Exception(message);

public sealed partial class RedisBroker
{
    /// <summary>How long a call can be repeated. The longest our clients go on trying is two minutes.</summary>
    private static readonly TimeSpan KeyKept = TimeSpan.FromMinutes(10);

    /// <summary>As long as the script remembers a producer's number.</summary>
    private static readonly TimeSpan ProducerKept = TimeSpan.FromDays(1);

    /// <summary>Longer than the claim: when it is gone, nothing is promised any more.</summary>
    private static readonly TimeSpan NumberKept = KeyKept + TimeSpan.FromMinutes(1);

    /// <summary>Numbers of keys to drop, oldest first. Those of a process that ended are dropped by the queue itself, after a day.</summary>
    private readonly ConcurrentQueue<(string Name, long At)> numbers = new();

    /// <summary>
    /// As <see cref="EnqueueAsync"/>, and a repetition with the same mark adds nothing and is answered the same: also after a crash between
    /// the two, and through another process.
    /// </summary>
    /// <remarks>
    /// <code>
    /// claim (SET NX): fixes the ids ──► script with producer and number: adds once ──► note the answer in the claim, later drop the number
    /// </code>
    /// The claim alone could not know whether the script ran; the number alone would not know the ids, and would have to be kept for each key.
    /// </remarks>
    /// <exception cref="EnqueueMarkReusedException">The mark was used for something else.</exception>
    public async Task<IReadOnlyList<Enqueued>> EnqueueOnceAsync(EnqueueMark mark, IReadOnlyList<JobDraft> jobs, Durability durability, CancellationToken cancellationToken)
    {
        CheckName(mark.Producer, 64, nameof(mark));
        Claim claim = await ClaimAsync(mark, cancellationToken).ConfigureAwait(false);
        if (claim.Answer is { } answered)
        {
            return ReadOutcomes(answered, mark, claim.Moment, jobs);
        }

        Prepared prepared = Prepare([.. jobs.Select((job, index) => job.Id is null ? job with { Id = IdOf(mark, claim.Moment, index) } : job)]);
        await DurableAsync(durability, cancellationToken).ConfigureAwait(false);
        string name = "once." + mark.Producer;
        while (true)
        {
            RespValue answer = prepared.Plain
                ? await EvaluateAsync(QueueScripts.Enqueue, keys.Enqueue, prepared.PlainArguments(name, mark.Sequence, keys.Wake), cancellationToken).ConfigureAwait(false)
                : await EvaluateAsync(QueueScripts.Add, keys.All, prepared.Arguments(name, mark.Sequence, keys.Wake, Keep), cancellationToken).ConfigureAwait(false);
            switch (answer.Items[0].AsInteger())
            {
                case -1:
                    await LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
                    continue;
                case 0:
                    throw Full(answer.Items[1].AsString());
            }

            LearnClock(answer.Items[1].AsInteger());
            await ReplicatedAsync(durability, cancellationToken).ConfigureAwait(false);
            IReadOnlyList<Enqueued> outcomes = prepared.Plain ? prepared.AllAdded() : [.. Outcomes(answer)];
            if (mark.IsKey)
            {
                // Not waited for: until it is noted, a repetition is recognised by the script.
                _ = NoteAsync(mark, claim, name, outcomes);
            }

            return outcomes;
        }
    }

    private async ValueTask<Claim> ClaimAsync(EnqueueMark mark, CancellationToken cancellationToken)
    {
        var fresh = new Claim(mark.Sequence, ServerNow, mark.Fingerprint, null);
        long kept = Milliseconds(mark.IsKey ? KeyKept : ProducerKept);
        RespValue stored = await AskAsync(RespCommand.Of("SET", ClaimKey(mark), fresh.ToString(), "NX", "GET", "PX", kept), cancellationToken).ConfigureAwait(false);
        if (stored.IsNull)
        {
            return fresh;
        }

        Claim claim = Claim.Read(stored.AsString());
        if (claim.Sequence == mark.Sequence)
        {
            return claim.Fingerprint == mark.Fingerprint
                ? claim
                : throw new EnqueueMarkReusedException("The same key or number was used before, for other jobs.");
        }

        if (claim.Sequence > mark.Sequence)
        {
            throw new EnqueueMarkReusedException($"The producer's number {mark.Sequence} is passed: {claim.Sequence} was used.");
        }

        await AskAsync(RespCommand.Of("SET", ClaimKey(mark), fresh.ToString(), "PX", kept), cancellationToken).ConfigureAwait(false);
        return fresh;
    }

    private async Task NoteAsync(EnqueueMark mark, Claim claim, string name, IReadOnlyList<Enqueued> outcomes)
    {
        try
        {
            Claim noted = claim with { Answer = WriteOutcomes(outcomes) };
            await AskAsync(RespCommand.Of("SET", ClaimKey(mark), noted.ToString(), "PX", Milliseconds(KeyKept)), CancellationToken.None).ConfigureAwait(false);
            // Not the number of this call: another with the same key may have read the claim before the note, and must still be recognised.
            numbers.Enqueue((name, options.Time.GetTimestamp()));
            while (numbers.TryPeek(out var oldest) && options.Time.GetElapsedTime(oldest.At) > NumberKept && numbers.TryDequeue(out oldest))
            {
                await AskAsync(RespCommand.Of("HDEL", keys.Producers, oldest.Name), CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (RespException)
        {
            // The number stays for a day instead, and does the same.
        }
    }

    private RespArgument ClaimKey(EnqueueMark mark) => keys.Once(mark.Producer);

    /// <summary>UUIDv7 like all, but the same at every repetition.</summary>
    private static Guid IdOf(EnqueueMark mark, long moment, int index)
    {
        Span<byte> id = stackalloc byte[32];
        SHA256.HashData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{mark.Producer} {mark.Sequence} {index}")), id);
        return JobIds.New(moment, id[..10]);
    }

    private static string WriteOutcomes(IReadOnlyList<Enqueued> outcomes) =>
        outcomes.All(one => one.Outcome == EnqueueOutcome.Added) ? "-" : string.Join(',', outcomes.Select(one => $"{(int)one.Outcome}{one.Id:N}"));

    private static IReadOnlyList<Enqueued> ReadOutcomes(string answer, EnqueueMark mark, long moment, IReadOnlyList<JobDraft> jobs) => answer == "-"
        ? [.. jobs.Select((job, index) => new Enqueued(job.Id ?? IdOf(mark, moment, index), EnqueueOutcome.Added))]
        : [.. answer.Split(',').Select(one => new Enqueued(Guid.ParseExact(one.AsSpan(1), "N"), (EnqueueOutcome)(one[0] - '0')))];

    private sealed record Claim(long Sequence, long Moment, string Fingerprint, string? Answer)
    {
        public static Claim Read(string text)
        {
            string[] parts = text.Split(' ');
            return new Claim(
                long.Parse(parts[0], CultureInfo.InvariantCulture), long.Parse(parts[1], CultureInfo.InvariantCulture), parts[2], parts.Length > 3 ? parts[3] : null);
        }

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Sequence} {Moment} {Fingerprint}{(Answer is null ? "" : " " + Answer)}");
    }
}
