using System.Globalization;
using Slipway.Resp;

namespace Slipway.Queue;

public sealed partial class RedisBroker
{
    /// <summary>Dead letters that one step looks at or moves: 100 keep a script under a millisecond.</summary>
    private const int Step = 100;

    public async Task<QueueStats> StatsAsync(CancellationToken cancellationToken)
    {
        StoredSettings known = await LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
        RespArgument[] statsKeys =
        [
            keys.Meta, keys.Totals, keys.Leases, keys.Acked, keys.Delayed, keys.Limits, keys.Waiting, keys.Dead, keys.Reasons, keys.Workers,
            .. keys.Ready, .. known.LaneOrder.Select(type => keys.Held(known.Lanes[type])),
        ];
        IReadOnlyList<RespValue> all = (await EvaluateAsync(QueueScripts.Stats, statsKeys, default, cancellationToken).ConfigureAwait(false)).Items;
        Dictionary<string, (long Running, string Breaker)> lanes = all[11].Items.ToDictionary(
            lane => lane.Items[0].AsString(), lane => (lane.Items[1].AsInteger(), lane.Items[2].AsString()));
        Dictionary<string, long> held = known.LaneOrder.Index().ToDictionary(lane => lane.Item, lane => all[2].Items[lane.Index].AsInteger());
        string halted = all[13].AsString();
        return new QueueStats(
            [.. all[1].Items.Select(length => length.AsInteger())],
            held,
            all[3].AsInteger(),
            all[4].AsInteger(),
            all[5].AsInteger(),
            all[6].AsInteger(),
            all[7].AsInteger(),
            TimeSpan.FromMilliseconds(Math.Max(0, all[8].AsInteger())),
            Counts(all[9]),
            Counts(all[10]),
            [.. known.Settings.Types.Select(type =>
            {
                string lane = (type.Key.Length == 0 ? 0 : known.Lanes[type.Key]).ToString(CultureInfo.InvariantCulture);
                (long running, string breaker) = lanes.GetValueOrDefault(lane, (0, "closed"));
                return new TypeState(type.Key, type.Value, held.GetValueOrDefault(type.Key), running, breaker);
            })],
            [.. Pairs(all[12]).Select(worker =>
            {
                string value = worker.Value.AsString();
                int blank = value.IndexOf(' ', StringComparison.Ordinal);
                return new WorkerInfo(worker.Name, Moment(long.Parse(value.AsSpan(0, blank), CultureInfo.InvariantCulture)), value[(blank + 1)..]);
            })],
            halted.Length == 0 ? null : halted,
            Moment(all[0].AsInteger()));
    }

    public async Task<QueueSettings> SettingsAsync(CancellationToken cancellationToken) => (await LoadSettingsAsync(cancellationToken).ConfigureAwait(false)).Settings;

    public async Task<QueueSettings> ConfigureAsync(Func<QueueSettings, QueueSettings> change, CancellationToken cancellationToken)
    {
        bool keepLanes = false;
        while (true)
        {
            StoredSettings before = await LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
            QueueSettings wanted = change(before.Settings);
            StoredSettings.Check(wanted);
            StoredSettings after = before.With(wanted, keepLanes);
            switch (await StoreAsync(before, after, cancellationToken).ConfigureAwait(false))
            {
                case 1:
                    settings = after;
                    return after.Settings;
                case -1:
                    // Jobs wait in the lane of a type that loses its limits: it stays until they are gone.
                    keepLanes = true;
                    break;
            }
        }
    }

    public async Task<IReadOnlyList<PeekedJob>> PeekAsync(string place, int count, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, MostJobs);
        var jobs = new List<PeekedJob>();
        switch (place)
        {
            case "ready":
                for (int level = 0; level < 8 && jobs.Count < count; level++)
                {
                    RespValue tail = await AskAsync(RespCommand.Of("LRANGE", keys.Ready[level], jobs.Count - count, -1), cancellationToken).ConfigureAwait(false);
                    jobs.AddRange(tail.Items.Reverse().Select(entry => new PeekedJob(JobEntry.Read(entry.AsBytes(), types), $"ready:{level}", null)));
                }

                break;
            case "delayed":
                RespValue due = await AskAsync(RespCommand.Of("ZRANGE", keys.Delayed, 0, count - 1, "WITHSCORES"), cancellationToken).ConfigureAwait(false);
                jobs.AddRange(due.Items.Select(pair => new PeekedJob(JobEntry.Read(pair.Items[0].AsBytes(), types), place, Moment((long)pair.Items[1].AsDouble()))));
                break;
            case "dead":
                jobs.AddRange((await DeadLettersAsync(new DeadFilter(), null, count, cancellationToken).ConfigureAwait(false))
                    .Select(letter => new PeekedJob(letter.Job, place, letter.DiedAt)));
                break;
            default:
                StoredSettings known = await LoadSettingsAsync(cancellationToken).ConfigureAwait(false);
                if (!known.Lanes.TryGetValue(place, out int lane))
                {
                    throw new ArgumentException($"'{place}' is neither ready, delayed nor dead, nor a type with limits.", nameof(place));
                }

                RespValue waiting = await AskAsync(RespCommand.Of("LRANGE", keys.Held(lane), 0, count - 1), cancellationToken).ConfigureAwait(false);
                jobs.AddRange(waiting.Items.Select(entry => new PeekedJob(JobEntry.Read(entry.AsBytes(), types), "held", null)));
                break;
        }

        return jobs;
    }

    public async Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(DeadFilter filter, string? before, int count, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, MostJobs);
        var letters = new List<DeadLetter>();
        string end = before is null ? "+" : "(" + before;
        while (letters.Count < count)
        {
            RespValue page = await AskAsync(RespCommand.Of("XREVRANGE", keys.Dead, end, "-", "COUNT", Step), cancellationToken).ConfigureAwait(false);
            foreach (RespValue row in page.Items)
            {
                DeadLetter letter = ReadLetter(row);
                end = "(" + letter.Id;
                if (letters.Count < count && Fits(filter, letter))
                {
                    letters.Add(letter);
                }
            }

            if (page.Items.Count < Step)
            {
                break;
            }
        }

        return letters;
    }

    public async Task<long> RedriveAsync(DeadFilter filter, double? perSecond, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        int step = perSecond is { } rate ? (int)Math.Clamp(rate / 10, 1, Step) : Step;
        return await WalkDeadAsync(filter, step, async ids =>
        {
            RespArgument[] arguments = [keys.Wake, .. ids.Select(id => (RespArgument)id)];
            RespValue back = await EvaluateAsync(QueueScripts.Redrive, keys.All, arguments, cancellationToken).ConfigureAwait(false);
            if (perSecond is { } most && back.AsInteger() > 0)
            {
                await Task.Delay(TimeSpan.FromSeconds(back.AsInteger() / most), options.Time, cancellationToken).ConfigureAwait(false);
            }

            return back.AsInteger();
        }, progress, cancellationToken).ConfigureAwait(false);
    }

    public async Task<long> PurgeDeadAsync(DeadFilter filter, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        if (filter is { Ids: null, Reason: null, Type: null })
        {
            RespValue all = await EvaluateAsync(QueueScripts.Purge, keys.All, new RespArgument[] { keys.Wake, "all" }, cancellationToken).ConfigureAwait(false);
            if (all.AsInteger() >= 0)
            {
                progress?.Report(all.AsInteger());
                return all.AsInteger();
            }
        }

        return await WalkDeadAsync(filter, Step, async ids =>
        {
            RespArgument[] arguments = [keys.Wake, .. ids.Select(id => (RespArgument)id)];
            return (await EvaluateAsync(QueueScripts.Purge, keys.All, arguments, cancellationToken).ConfigureAwait(false)).AsInteger();
        }, progress, cancellationToken).ConfigureAwait(false);
    }

    public async Task<IReadOnlyList<MinuteCounts>> HistoryAsync(int minutes, CancellationToken cancellationToken)
    {
        RespValue rows = await AskAsync(RespCommand.Of("HGETALL", keys.History), cancellationToken).ConfigureAwait(false);
        long from = (ServerNow / 60_000) - minutes;
        var counts = new List<MinuteCounts>();
        foreach ((string field, RespValue value) in Pairs(rows))
        {
            int blank = field.IndexOf(' ', StringComparison.Ordinal);
            long minute = long.Parse(field.AsSpan(0, blank), CultureInfo.InvariantCulture);
            if (minute > from)
            {
                counts.Add(new MinuteCounts(Moment(minute * 60_000), field[(blank + 1)..], ReadCounts(value.AsBytes())));
            }
        }

        return [.. counts.OrderBy(row => row.Minute).ThenBy(row => row.Type, StringComparer.Ordinal)];
    }

    public async Task<bool> DeleteAsync(bool force, CancellationToken cancellationToken)
    {
        QueueStats stats = await StatsAsync(cancellationToken).ConfigureAwait(false);
        if (!force && stats.Workers.Any(worker => stats.ServerTime - worker.Seen < TimeSpan.FromSeconds(30)))
        {
            return false;
        }

        StoredSettings known = settings;
        RespArgument[] everything = [.. keys.All, keys.Workers, keys.History, .. known.LaneOrder.Select(type => keys.Held(known.Lanes[type]))];
        await AskAsync(RespCommand.Of(["UNLINK", .. everything]), cancellationToken).ConfigureAwait(false);
        settings = StoredSettings.None;
        return true;
    }

    /// <summary>The newest settings; makes the first ones.</summary>
    private async Task<StoredSettings> LoadSettingsAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            RespValue stored = await AskAsync(RespCommand.Of("HMGET", keys.Meta, "version", "json"), cancellationToken).ConfigureAwait(false);
            if (stored.Items is [{ IsNull: false } version, { IsNull: false } json])
            {
                string number = version.AsString();
                StoredSettings known = settings;
                return known.Version == number ? known : settings = StoredSettings.Read(number, json.AsBytes().Span);
            }

            await StoreAsync(StoredSettings.None, StoredSettings.None.With(options.Initial, keepLanes: false), cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<long> StoreAsync(StoredSettings before, StoredSettings after, CancellationToken cancellationToken)
    {
        RespArgument[] configureKeys =
        [
            keys.Meta, keys.Leases, keys.Acked, keys.Limits, keys.Dead,
            .. before.Lanes.Where(lane => !after.Lanes.ContainsKey(lane.Key)).Select(lane => keys.Held(lane.Value)),
        ];
        RespArgument[] arguments = [before.Version, after.Version, keys.Wake, .. after.Fields()];
        return (await redis.EvaluateAsync(QueueScripts.Configure, configureKeys, arguments, idempotent: false, keepsReply: false, cancellationToken).ConfigureAwait(false)).AsInteger();
    }

    /// <summary>From the oldest on, in bounded steps; stops where it began to look, so that what dies meanwhile is not walked for ever.</summary>
    private async Task<long> WalkDeadAsync(
        DeadFilter filter, int step, Func<IReadOnlyList<string>, Task<long>> move, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        RespValue newest = await AskAsync(RespCommand.Of("XREVRANGE", keys.Dead, "+", "-", "COUNT", 1), cancellationToken).ConfigureAwait(false);
        if (newest.Items.Count == 0)
        {
            return 0;
        }

        string last = newest.Items[0].Items[0].AsString();
        string from = "-";
        long moved = 0;
        while (true)
        {
            RespValue page = await AskAsync(RespCommand.Of("XRANGE", keys.Dead, from, last, "COUNT", step), cancellationToken).ConfigureAwait(false);
            string[] ids = [.. page.Items.Select(ReadLetter).Where(letter => Fits(filter, letter)).Select(letter => letter.Id)];
            if (ids.Length > 0)
            {
                moved += await move(ids).ConfigureAwait(false);
                progress?.Report(moved);
            }

            if (page.Items.Count < step)
            {
                return moved;
            }

            from = "(" + page.Items[^1].Items[0].AsString();
        }
    }

    private static bool Fits(DeadFilter filter, DeadLetter letter) =>
        (filter.Ids is null || filter.Ids.Contains(letter.Id))
        && (filter.Reason is null || filter.Reason == letter.Reason)
        && (filter.Type is null || filter.Type == letter.Job.Type);

    private DeadLetter ReadLetter(RespValue row)
    {
        string id = row.Items[0].AsString();
        IReadOnlyList<RespValue> fields = row.Items[1].Items;
        return new DeadLetter(
            id,
            JobEntry.Read(fields[1].AsBytes(), types),
            fields[3].AsString(),
            fields[5].AsString(),
            Moment(long.Parse(id.AsSpan(0, id.IndexOf('-', StringComparison.Ordinal)), CultureInfo.InvariantCulture)));
    }

    private static TypeCounts ReadCounts(ReadOnlyMemory<byte> packed)
    {
        var reader = new MsgpackReader(packed);
        reader.ReadArray();
        long completed = reader.ReadInteger(), failed = reader.ReadInteger();
        TimeSpan busy = TimeSpan.FromMilliseconds(reader.ReadNumber()), waited = TimeSpan.FromMilliseconds(reader.ReadNumber());
        var errors = new Dictionary<string, long>();
        for (int left = reader.ReadMap(); left > 0; left--)
        {
            errors[reader.ReadString()] = reader.ReadInteger();
        }

        return new TypeCounts(completed, failed, busy, waited, errors);
    }

    private ValueTask<RespValue> AskAsync(RespCommand command, CancellationToken cancellationToken) =>
        redis.SendAsync(command with { Idempotent = true }, cancellationToken);

    private static Dictionary<string, long> Counts(RespValue pairs) => Pairs(pairs).ToDictionary(pair => pair.Name, pair => pair.Value.AsInteger());

    private static IEnumerable<(string Name, RespValue Value)> Pairs(RespValue flat)
    {
        for (int i = 0; i + 1 < flat.Items.Count; i += 2)
        {
            yield return (flat.Items[i].AsString(), flat.Items[i + 1]);
        }
    }
}
