using System.Collections.Concurrent;
using System.Diagnostics;
using System.Numerics;
using Slipway.Resp;

namespace Slipway.Queue;

public sealed partial class RedisBroker
{
    /// <summary>One script moves so many at most: Lua's unpack ends at about 8,000 values, and 1,000 entries of 100 bytes are 1 ms.</summary>
    internal const int MostJobs = 1000;

    private readonly string producer = Convert.ToBase64String(Guid.NewGuid().ToByteArray())[..16];
    private readonly ConcurrentStack<Producer> idleProducers = new();
    private int producers;

    public async Task<IReadOnlyList<Enqueued>> EnqueueAsync(IReadOnlyList<JobDraft> jobs, Durability durability, CancellationToken cancellationToken)
    {
        if (jobs.Count == 0)
        {
            return [];
        }

        // Everything is checked and written before anything is sent.
        Prepared prepared = Prepare(jobs);
        await DurableAsync(durability, cancellationToken).ConfigureAwait(false);
        while (true)
        {
            RespValue answer = await SendNumberedAsync(prepared, cancellationToken).ConfigureAwait(false);
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
            return prepared.Plain ? prepared.AllAdded() : [.. Outcomes(answer)];
        }
    }

    /// <summary>
    /// Under a number that Redis remembers, so that a repetition after a cut adds nothing. Calls that are on their way together
    /// have each a producer of their own: numbers of one producer can't overtake each other, which would look like a repetition.
    /// </summary>
    private async ValueTask<RespValue> SendNumberedAsync(Prepared prepared, CancellationToken cancellationToken)
    {
        if (!idleProducers.TryPop(out Producer? lane))
        {
            lane = new Producer($"{producer}.{Interlocked.Increment(ref producers)}");
        }

        try
        {
            RespArgument number = ++lane.Last;
            return prepared.Plain
                ? await EvaluateAsync(QueueScripts.Enqueue, keys.Enqueue, prepared.PlainArguments(lane.Name, number, keys.Wake), cancellationToken).ConfigureAwait(false)
                : await EvaluateAsync(QueueScripts.Add, keys.All, prepared.Arguments(lane.Name, number, keys.Wake, Keep), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            idleProducers.Push(lane);
        }
    }

    public async Task<bool> FireAsync(string schedule, DateTimeOffset slot, JobDraft job, CancellationToken cancellationToken)
    {
        CheckName(schedule, 200, nameof(schedule));
        Prepared prepared = Prepare([job]);
        while (true)
        {
            RespArgument[] arguments = prepared.Arguments(producer, 0, keys.Wake, Keep, schedule, slot.ToUnixTimeMilliseconds());
            RespValue answer = await EvaluateAsync(QueueScripts.Add, keys.All, arguments, cancellationToken).ConfigureAwait(false);
            switch (answer.Items[0].AsInteger())
            {
                case -1:
                    await LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
                    continue;
                case 0:
                    throw Full(answer.Items[1].AsString());
                case 2:
                    return false;
                default:
                    return true;
            }
        }
    }

    public async Task<DateTimeOffset?> LastFiredAsync(string schedule, CancellationToken cancellationToken)
    {
        RespValue slot = await redis.SendAsync(RespCommand.Of("HGET", keys.Cron, schedule) with { Idempotent = true }, cancellationToken).ConfigureAwait(false);
        return slot.IsNull ? null : Moment(slot.AsInteger());
    }

    private RespArgument Keep => Milliseconds(settings.Settings.KeepTracked);

    private QueueFullException Full(string bound) => new(Queue, bound, bound switch
    {
        "depth" => $"Queue {Queue} holds its {settings.Settings.MaxJobs} jobs; add workers, try later, or raise maxJobs.",
        "bytes" => $"Queue {Queue} holds its {settings.Settings.MaxBytes} bytes; add workers, try later, or raise maxBytes.",
        _ => $"The oldest job of queue {Queue} waits for over {settings.Settings.MaxAge}; add workers, try later, or raise maxAge.",
    });

    private static IEnumerable<Enqueued> Outcomes(RespValue answer)
    {
        for (int i = 2; i < answer.Items.Count; i += 2)
        {
            yield return new Enqueued(new Guid(answer.Items[i + 1].AsBytes().Span, bigEndian: true), answer.Items[i].AsString() switch
            {
                "added" => EnqueueOutcome.Added,
                "duplicate" => EnqueueOutcome.Duplicate,
                "closed" => EnqueueOutcome.BatchClosed,
                _ => EnqueueOutcome.DependencyFailed,
            });
        }
    }

    /// <summary>Refuses before anything is enqueued what the server could not promise. The configuration is asked for once.</summary>
    private async ValueTask DurableAsync(Durability wanted, CancellationToken cancellationToken)
    {
        if (wanted is Durability.Server or Durability.Memory)
        {
            return;
        }

        promises ??= await AskPromisesAsync(cancellationToken).ConfigureAwait(false);
        string? lack = wanted switch
        {
            Durability.Aof when !promises.Aof => "it has no append-only file (appendonly yes)",
            Durability.Fsync when !promises.Always => "it does not sync each write (appendonly yes, appendfsync always)",
            _ => null,
        };
        if (lack is not null)
        {
            throw new NotSupportedException($"Redis cannot promise the durability '{wanted}' that was asked for: {lack}.");
        }
    }

    private Promises? promises;

    private async Task<Promises> AskPromisesAsync(CancellationToken cancellationToken)
    {
        async Task<string> SettingAsync(string name)
        {
            RespValue answer = await redis.SendAsync(RespCommand.Of("CONFIG", "GET", name) with { Idempotent = true }, cancellationToken).ConfigureAwait(false);
            return answer.Items.Count > 1 ? answer.Items[1].AsString() : "";
        }

        bool aof = await SettingAsync("appendonly").ConfigureAwait(false) == "yes";
        return new Promises(aof, aof && await SettingAsync("appendfsync").ConfigureAwait(false) == "always");
    }

    /// <summary>WAIT stands behind the script on the same connection, so that it speaks of that write.</summary>
    private async ValueTask ReplicatedAsync(Durability wanted, CancellationToken cancellationToken)
    {
        if (wanted is Durability.Replicated)
        {
            RespValue replicas = await redis.SendAsync(RespCommand.Of("WAIT", 1, 1000), cancellationToken).ConfigureAwait(false);
            if (replicas.AsInteger() < 1)
            {
                throw new RespException("No replica confirmed the enqueue within 1 s. The jobs are in the queue, but only on the master: do not enqueue them again, or do it under the same ids.");
            }
        }
    }

    private Prepared Prepare(IReadOnlyList<JobDraft> jobs)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(jobs.Count, MostJobs, nameof(jobs));
        string trace = Activity.Current is { IdFormat: ActivityIdFormat.W3C } current ? current.Id! : "";
        var prepared = new Prepared(jobs, new byte[jobs.Count][], new Guid[jobs.Count]);
        long now = ServerNow;
        for (int i = 0; i < jobs.Count; i++)
        {
            JobDraft job = jobs[i];
            CheckDraft(job);
            prepared.Ids[i] = job.Id ?? JobIds.New(now);
            byte[] entry = JobEntry.Write(job, prepared.Ids[i], job.TraceParent ?? trace, options.InlineBytes);
            prepared.Entries[i] = entry;
            prepared.Bytes += entry.Length;
            prepared.Plain &= JobEntry.IsPlain(entry);
            if (IsDelayed(job))
            {
                prepared.Delayed++;
            }
            else
            {
                prepared.Levels |= 1u << (int)job.Priority;
            }
        }

        return prepared;
    }

    private void CheckDraft(JobDraft job)
    {
        CheckName(job.Type, 100, nameof(job));
        if (job.UniqueKey is { } key)
        {
            CheckName(key, 200, nameof(job));
        }

        if (job.Payload.Length > options.MaxPayloadBytes)
        {
            throw new ArgumentException(
                $"The payload has {job.Payload.Length} bytes; the limit is {options.MaxPayloadBytes}. Keep it elsewhere and enqueue where it is.", nameof(job));
        }

        if (job.Priority > JobPriority.Lowest || job.Cost == 0 || job.MaxAttempts is < 0 or > 255 || job.Delay < TimeSpan.Zero || job.After.Count > 100
            || (job.At is not null && job.Delay > TimeSpan.Zero))
        {
            throw new ArgumentException("Of a job, the priority is 0-7, the cost 1-255, maxAttempts 0-255, a delay not negative, and at most one of delay and at is given; it may wait for at most 100 others.", nameof(job));
        }
    }

    private static bool IsDelayed(JobDraft job) => job.Delay > TimeSpan.Zero || job.At is not null;

    /// <summary>What the scripts take: a moment, or minus a delay, which only the server's clock turns into one.</summary>
    private static long Due(JobDraft job) => job.At is { } moment ? Math.Max(1, moment.ToUnixTimeMilliseconds()) : -Milliseconds(job.Delay);

    private sealed class Producer(string name)
    {
        public RespArgument Name { get; } = name;

        public long Last { get; set; }
    }

    private sealed record Promises(bool Aof, bool Always);

    private sealed record Prepared(IReadOnlyList<JobDraft> Jobs, byte[][] Entries, Guid[] Ids)
    {
        public bool Plain { get; set; } = true;

        public long Bytes { get; set; }

        public int Delayed { get; set; }

        /// <summary>A bit for each level of those that are not delayed.</summary>
        public uint Levels { get; set; }

        public RespArgument[] PlainArguments(RespArgument producer, RespArgument number, RespArgument wake)
        {
            // Exactly as large as needed: an argument is 40 bytes, and there are a thousand in a call.
            int levels = BitOperations.PopCount(Levels);
            var arguments = new RespArgument[6 + (2 * Delayed) + (2 * levels) + (Jobs.Count - Delayed)];
            (arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]) = (producer, number, wake, Jobs.Count, Bytes, Delayed);
            int at = 6;
            for (int i = 0; Delayed > 0 && i < Jobs.Count; i++)
            {
                if (IsDelayed(Jobs[i]))
                {
                    arguments[at++] = Due(Jobs[i]);
                    arguments[at++] = Entries[i];
                }
            }

            for (uint left = Levels; left != 0; left &= left - 1)
            {
                int level = BitOperations.TrailingZeroCount(left);
                int place = at;
                at += 2;
                for (int i = 0; i < Jobs.Count; i++)
                {
                    if ((levels == 1 || (int)Jobs[i].Priority == level) && (Delayed == 0 || !IsDelayed(Jobs[i])))
                    {
                        arguments[at++] = Entries[i];
                    }
                }

                arguments[place] = level;
                arguments[place + 1] = at - place - 2;
            }

            return arguments;
        }

        public RespArgument[] Arguments(RespArgument producer, RespArgument number, RespArgument wake, RespArgument keep, string schedule = "", long slot = 0)
        {
            var arguments = new List<RespArgument>(8 + Jobs.Count) { producer, number, wake, Jobs.Count, Bytes, keep, schedule, slot };
            for (int i = 0; i < Jobs.Count; i++)
            {
                JobDraft job = Jobs[i];
                MsgpackWriter one = new MsgpackWriter().Array(4 + job.After.Count).Number(IsDelayed(job) ? Due(job) : 0).Bytes(Entries[i]);
                one.Bytes(JobEntry.IsAside(Entries[i]) ? job.Payload.Span : default).Text(job.Type);
                foreach (Guid other in job.After)
                {
                    one.Bytes(RedisBroker.Bytes(other));
                }

                arguments.Add(one.Written);
            }

            return [.. arguments];
        }

        public Enqueued[] AllAdded() => Array.ConvertAll(Ids, id => new Enqueued(id, EnqueueOutcome.Added));
    }
}
