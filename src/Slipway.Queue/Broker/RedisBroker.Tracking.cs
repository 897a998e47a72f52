using System.Globalization;
using Slipway.Resp;

namespace Slipway.Queue;

public sealed partial class RedisBroker
{
    public async Task<bool> ProgressAsync(Guid id, double progress, string note, CancellationToken cancellationToken)
    {
        RespArgument[] arguments = [Bytes(id), Math.Clamp(progress, 0, 100).ToString(CultureInfo.InvariantCulture), Cut(note, 500)];
        return (await EvaluateAsync(QueueScripts.Progress, new[] { keys.Jobs }, arguments, cancellationToken).ConfigureAwait(false)).AsInteger() == 1;
    }

    public async Task<JobStatus?> FindAsync(Guid id, CancellationToken cancellationToken)
    {
        RespValue stored = await redis.SendAsync(RespCommand.Of("HGET", keys.Jobs, Bytes(id)) with { Idempotent = true }, cancellationToken).ConfigureAwait(false);
        if (stored.IsNull)
        {
            return null;
        }

        // The list of parts/ends.lua.
        var reader = new MsgpackReader(stored.AsBytes());
        reader.ReadArray();
        string type = reader.ReadString();
        var state = (JobState)reader.ReadInteger();
        int attempt = (int)reader.ReadInteger();
        double progress = reader.ReadNumber();
        string note = reader.ReadString();
        ReadOnlyMemory<byte> result = reader.ReadBytes();
        string error = reader.ReadString();
        DateTimeOffset updated = Moment(reader.ReadInteger());
        return new JobStatus(id, type, state, attempt, progress, note, result, error, updated, CancelRequested: reader.ReadInteger() == 1);
    }

    public async Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken)
    {
        RespArgument[] arguments = [keys.Wake, Keep, Bytes(id)];
        return (await EvaluateAsync(QueueScripts.Cancel, keys.All, arguments, cancellationToken).ConfigureAwait(false)).AsInteger() == 1;
    }

    public async Task<Guid> OpenBatchAsync(JobDraft callback, Guid? parent, CancellationToken cancellationToken)
    {
        callback = callback with { Batch = parent };
        CheckDraft(callback);
        if (IsDelayed(callback) || callback.UniqueKey is not null || callback.Track || callback.After.Count > 0 || callback.Payload.Length > options.InlineBytes)
        {
            throw new ArgumentException($"A batch's callback is a plain job: not delayed, unique, tracked or waiting for others, with a payload of at most {options.InlineBytes} bytes.", nameof(callback));
        }

        Guid batch = JobIds.New(ServerNow);
        byte[] entry = JobEntry.Write(callback, callback.Id ?? JobIds.New(ServerNow), callback.TraceParent ?? "", options.InlineBytes);
        RespArgument[] arguments = [keys.Wake, Keep, "open", Bytes(batch), entry];
        RespValue answer = await EvaluateAsync(QueueScripts.Batch, keys.All, arguments, cancellationToken).ConfigureAwait(false);
        return answer.Items.Count > 0 ? batch : throw new ArgumentException($"The batch {parent} is closed, or not known.", nameof(parent));
    }

    public async Task<BatchStatus?> CloseBatchAsync(Guid batch, CancellationToken cancellationToken)
    {
        RespArgument[] arguments = [keys.Wake, Keep, "close", Bytes(batch)];
        RespValue answer = await EvaluateAsync(QueueScripts.Batch, keys.All, arguments, cancellationToken).ConfigureAwait(false);
        return answer.Items is [var total, var pending, var failed, var open, var called]
            ? new BatchStatus(batch, total.AsInteger(), pending.AsInteger(), failed.AsInteger(), open.AsInteger() == 1, called.AsInteger() == 1)
            : null;
    }

    public async Task<BatchStatus?> FindBatchAsync(Guid batch, CancellationToken cancellationToken)
    {
        RespValue stored = await redis.SendAsync(RespCommand.Of("HGET", keys.Batches, Bytes(batch)) with { Idempotent = true }, cancellationToken).ConfigureAwait(false);
        if (stored.IsNull)
        {
            return null;
        }

        var reader = new MsgpackReader(stored.AsBytes());
        reader.ReadArray();
        long total = reader.ReadInteger(), pending = reader.ReadInteger(), failed = reader.ReadInteger();
        bool open = reader.ReadInteger() == 1;
        reader.ReadBytes();
        return new BatchStatus(batch, total, pending, failed, open, CalledBack: reader.ReadInteger() == 1);
    }
}
