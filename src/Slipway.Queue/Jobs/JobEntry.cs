using System.Buffers.Binary;
using System.Text;

namespace Slipway.Queue;

/// <summary>A job as it lies in Redis: one binary string that travels through lists and blocks without being taken apart.</summary>
/// <remarks>
/// <code>
///  0 format (1)   1 flags   2 level   3 failed runs   4 lost leases   5 cost   6 length of type   7..22 id   23.. type
///  then, as flagged: unique key (1 length, key, 4 seconds it stays taken) · batch (16) · options (1 attempts, 4 timeout ms) · trace (16 + 8 + 1)
///  then the payload to the end
/// </code>
/// Numbers are big-endian. The scripts change single bytes in place (level, runs, losses); 23 bytes and the type are all a plain
/// job costs above its payload. The enqueue time is that of the UUIDv7.
/// </remarks>
internal static class JobEntry
{
    public const byte Format = 1;
    public const byte HasUniqueKey = 1;
    public const byte HasBatch = 2;
    public const byte IsTracked = 4;
    public const byte PayloadAside = 8;
    public const byte HasOptions = 16;
    public const byte HasTrace = 32;

    /// <summary>These ends need a script of their own.</summary>
    private const byte Linked = HasUniqueKey | HasBatch | IsTracked | PayloadAside;

    private const byte Known = Linked | HasOptions | HasTrace;
    private const int Fixed = 23;

    public static bool IsPlain(byte[] entry) => (entry[1] & Linked) == 0;

    public static byte[] Write(JobDraft draft, Guid id, ReadOnlySpan<char> traceParent, int inlineBytes)
    {
        bool aside = draft.Payload.Length > inlineBytes;
        bool options = draft.MaxAttempts > 0 || draft.Timeout > TimeSpan.Zero;
        Span<byte> trace = stackalloc byte[25];
        bool traced = TryReadTrace(traceParent, trace);
        int payload = aside ? 0 : draft.Payload.Length;
        int key = draft.UniqueKey is { } text ? 1 + text.Length + 4 : 0;
        byte[] entry = new byte[Fixed + draft.Type.Length + key + (draft.Batch is null ? 0 : 16) + (options ? 5 : 0) + (traced ? 25 : 0) + payload];
        entry[0] = Format;
        entry[1] = (byte)((key > 0 ? HasUniqueKey : 0) | (draft.Batch is null ? 0 : HasBatch) | (draft.Track || draft.After.Count > 0 ? IsTracked : 0)
            | (aside ? PayloadAside : 0) | (options ? HasOptions : 0) | (traced ? HasTrace : 0));
        entry[2] = (byte)draft.Priority;
        entry[5] = draft.Cost;
        entry[6] = (byte)draft.Type.Length;
        id.TryWriteBytes(entry.AsSpan(7), bigEndian: true, out _);
        int at = Fixed + Encoding.ASCII.GetBytes(draft.Type, entry.AsSpan(Fixed));
        if (draft.UniqueKey is { } unique)
        {
            entry[at++] = (byte)unique.Length;
            at += Encoding.ASCII.GetBytes(unique, entry.AsSpan(at));
            BinaryPrimitives.WriteUInt32BigEndian(entry.AsSpan(at), (uint)Math.Min(uint.MaxValue, Math.Ceiling(draft.UniqueFor.TotalSeconds)));
            at += 4;
        }

        if (draft.Batch is { } batch)
        {
            batch.TryWriteBytes(entry.AsSpan(at), bigEndian: true, out _);
            at += 16;
        }

        if (options)
        {
            entry[at++] = (byte)Math.Min(255, draft.MaxAttempts);
            BinaryPrimitives.WriteUInt32BigEndian(entry.AsSpan(at), (uint)Math.Min(uint.MaxValue, draft.Timeout.TotalMilliseconds));
            at += 4;
        }

        if (traced)
        {
            trace.CopyTo(entry.AsSpan(at));
            at += 25;
        }

        if (!aside)
        {
            draft.Payload.Span.CopyTo(entry.AsSpan(at));
        }

        return entry;
    }

    /// <summary>Reads what can be read: what cannot is a job with <see cref="Job.Damage"/>, never an exception.</summary>
    public static Job Read(ReadOnlyMemory<byte> entry, TypeNames types, bool cancelled = false)
    {
        ReadOnlySpan<byte> bytes = entry.Span;
        if (bytes.Length < Fixed + 1 || bytes[0] != Format || (bytes[1] & ~Known) != 0)
        {
            string why = bytes.Length < Fixed + 1 ? "too short to be a job" : $"of format {bytes[0]}.{bytes[1]}, which this version does not read";
            return Damaged(entry, why);
        }

        int at = Fixed + bytes[6];
        byte flags = bytes[1];
        int needed = at + ((flags & HasUniqueKey) != 0 ? 5 + (bytes.Length > at ? bytes[at] : 0) : 0) + ((flags & HasBatch) != 0 ? 16 : 0)
            + ((flags & HasOptions) != 0 ? 5 : 0) + ((flags & HasTrace) != 0 ? 25 : 0);
        if (bytes[6] == 0 || bytes.Length < needed)
        {
            return Damaged(entry, "cut off");
        }

        string type = types.Of(bytes[Fixed..at]);
        string? unique = null;
        Guid? batch = null;
        int attempts = 0;
        TimeSpan timeout = default;
        string trace = "";
        if ((flags & HasUniqueKey) != 0)
        {
            unique = Encoding.ASCII.GetString(bytes.Slice(at + 1, bytes[at]));
            at += 5 + bytes[at];
        }

        if ((flags & HasBatch) != 0)
        {
            batch = new Guid(bytes.Slice(at, 16), bigEndian: true);
            at += 16;
        }

        if ((flags & HasOptions) != 0)
        {
            attempts = bytes[at];
            timeout = TimeSpan.FromMilliseconds(BinaryPrimitives.ReadUInt32BigEndian(bytes[(at + 1)..]));
            at += 5;
        }

        if ((flags & HasTrace) != 0)
        {
            trace = $"00-{Convert.ToHexStringLower(bytes.Slice(at, 16))}-{Convert.ToHexStringLower(bytes.Slice(at + 16, 8))}-{bytes[at + 24]:x2}";
            at += 25;
        }

        return new Job
        {
            Id = new Guid(bytes.Slice(7, 16), bigEndian: true),
            Type = type,
            Payload = entry[at..],
            Priority = (JobPriority)Math.Min((byte)7, bytes[2]),
            Attempt = bytes[3] + 1,
            LostLeases = bytes[4],
            Cost = bytes[5],
            EnqueuedAt = MomentOf(bytes[7..]),
            MaxAttempts = attempts,
            Timeout = timeout,
            UniqueKey = unique,
            Batch = batch,
            Tracked = (flags & IsTracked) != 0,
            TraceParent = trace,
            NeedsSettling = (flags & Linked) != 0,
            CancelRequested = cancelled,
            PayloadIsAside = (flags & PayloadAside) != 0,
        };
    }

    public static bool IsAside(ReadOnlySpan<byte> entry) => entry.Length > Fixed && entry[0] == Format && (entry[1] & PayloadAside) != 0;

    /// <summary>The time of a UUIDv7: its first 48 bits are milliseconds.</summary>
    private static DateTimeOffset MomentOf(ReadOnlySpan<byte> id)
    {
        long milliseconds = (long)(BinaryPrimitives.ReadUInt64BigEndian(id) >> 16);
        // Ids of other versions hold anything.
        return milliseconds < 253_402_300_800_000 ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds) : DateTimeOffset.UnixEpoch;
    }

    private static Job Damaged(ReadOnlyMemory<byte> entry, string why) => new()
    {
        Id = entry.Length >= Fixed ? new Guid(entry.Span.Slice(7, 16), bigEndian: true) : Guid.Empty,
        Type = "?",
        Payload = entry,
        Attempt = 1,
        EnqueuedAt = DateTimeOffset.UnixEpoch,
        NeedsSettling = true,
        Damage = $"The entry is {why}.",
    };

    /// <summary>W3C trace context, version 00: 00-32 hex-16 hex-2 hex. Anything else is not carried.</summary>
    private static bool TryReadTrace(ReadOnlySpan<char> text, Span<byte> trace) =>
        text.Length == 55 && text.StartsWith("00-") && text[35] == '-' && text[52] == '-'
        && Convert.FromHexString(text[3..35], trace, out _, out _) is System.Buffers.OperationStatus.Done
        && Convert.FromHexString(text[36..52], trace[16..], out _, out _) is System.Buffers.OperationStatus.Done
        && Convert.FromHexString(text[53..55], trace[24..], out _, out _) is System.Buffers.OperationStatus.Done;
}

/// <summary>One string per job type instead of one per job.</summary>
internal sealed class TypeNames
{
    /// <summary>A queue has few types; somebody who makes them up must not fill the memory.</summary>
    private const int Most = 1000;

    private readonly System.Collections.Concurrent.ConcurrentDictionary<string, string> known = new();

    public string Of(ReadOnlySpan<byte> name)
    {
        Span<char> text = stackalloc char[255];
        Encoding.Latin1.GetChars(name, text);
        ReadOnlySpan<char> characters = text[..name.Length];
        if (known.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(characters, out string? type))
        {
            return type;
        }

        type = characters.ToString();
        return known.Count < Most ? known.GetOrAdd(type, type) : type;
    }
}
