using System.Buffers;
using System.Text.Json;
using Slipway.Queue;

namespace Slipway.Jobs.Working;

/// <summary>Writes <see cref="Slipway.Api.LeasedBlocks"/> without making its records: a lease may carry a thousand jobs.</summary>
internal static class LeaseAnswer
{
    public static byte[] Write(IReadOnlyList<(string Queue, JobBlock Block)> blocks, DateTimeOffset serverTime, IEnumerable<string> late, TimeSpan? next, bool more, IReadOnlyList<Guid> cancelled, bool raw)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("serverTime"u8, serverTime);
            json.WriteStartArray("blocks"u8);
            foreach (var (queue, block) in blocks)
            {
                WriteBlock(json, queue, block, raw);
            }

            json.WriteEndArray();
            json.WriteStartArray("late"u8);
            foreach (var id in late)
            {
                json.WriteStringValue(id);
            }

            json.WriteEndArray();
            if (next is { } due)
            {
                json.WriteNumber("nextMs"u8, (long)Math.Ceiling(due.TotalMilliseconds));
            }

            json.WriteBoolean("more"u8, more);
            json.WriteStartArray("cancelled"u8);
            foreach (var id in cancelled)
            {
                json.WriteStringValue(id);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>As <c>payload</c> when it is JSON, as <c>payloadBytes</c> else; nothing for no bytes.</summary>
    public static (JsonElement? Json, byte[]? Bytes) Split(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return (null, null);
        }

        if (!IsJson(bytes.Span))
        {
            return (null, bytes.ToArray());
        }

        using var document = JsonDocument.Parse(bytes);
        return (document.RootElement.Clone(), null);
    }

    private static void WriteBlock(Utf8JsonWriter json, string queue, JobBlock block, bool raw)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, WireBlock.Of(block).ToString());
        json.WriteString("queue"u8, queue);
        json.WriteNumber("token"u8, block.Token);
        json.WriteString("leasedAt"u8, block.LeasedAt);
        json.WriteString("deadline"u8, block.Deadline);
        json.WriteStartArray("jobs"u8);
        foreach (var job in block.Jobs)
        {
            WriteJob(json, job, raw);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteJob(Utf8JsonWriter json, Job job, bool raw)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, job.Id);
        json.WriteString("type"u8, job.Type);
        if (!job.Payload.IsEmpty)
        {
            if (!raw && IsJson(job.Payload.Span))
            {
                json.WritePropertyName("payload"u8);
                json.WriteRawValue(job.Payload.Span, skipInputValidation: true);
            }
            else
            {
                json.WriteBase64String("payloadBytes"u8, job.Payload.Span);
            }
        }

        json.WriteNumber("priority"u8, (int)job.Priority);
        json.WriteNumber("attempt"u8, job.Attempt);
        json.WriteNumber("lostLeases"u8, job.LostLeases);
        json.WriteString("enqueuedAt"u8, job.EnqueuedAt);
        json.WriteNumber("maxAttempts"u8, job.MaxAttempts);
        json.WriteNumber("timeoutMs"u8, (long)job.Timeout.TotalMilliseconds);
        if (job.UniqueKey is not null)
        {
            json.WriteString("unique"u8, job.UniqueKey);
        }

        if (job.Batch is { } batch)
        {
            json.WriteString("batch"u8, batch);
        }

        json.WriteBoolean("tracked"u8, job.Tracked);
        json.WriteNumber("cost"u8, job.Cost);
        if (job.TraceParent.Length > 0)
        {
            json.WriteString("traceParent"u8, job.TraceParent);
        }

        json.WriteBoolean("cancelRequested"u8, job.CancelRequested);
        if (job.Damage is not null)
        {
            json.WriteString("damage"u8, job.Damage);
        }

        json.WriteEndObject();
    }

    private static bool IsJson(ReadOnlySpan<byte> bytes)
    {
        var reader = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = 64 });
        try
        {
            while (reader.Read())
            {
            }

            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
