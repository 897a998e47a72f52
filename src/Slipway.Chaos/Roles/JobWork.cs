using System.Buffers.Binary;

namespace Slipway.Chaos.Roles;

/// <summary>What a handler is to do with a job.</summary>
internal enum WorkKind : byte
{
    /// <summary>Returns at once.</summary>
    Nothing,

    /// <summary>Waits for as long as the job says, and heeds its token.</summary>
    Wait,

    /// <summary>Computes for so long.</summary>
    Spin,

    Throw,

    /// <summary>Waits for so long whatever its token says.</summary>
    Hang,

    OverflowStack,

    Exit,

    /// <summary>SIGKILL to itself: what the kernel's out-of-memory killer does.</summary>
    Die,
}

/// <summary>The payload of a job: <c>8 id, 1 kind, 4 microseconds, padding</c>, little-endian.</summary>
/// <param name="Id">Of the accounting, see <see cref="Accounting.JobNumbers"/>.</param>
internal readonly record struct JobWork(ulong Id, WorkKind Kind, int Microseconds)
{
    private const int Bytes = 13;

    /// <summary>As large as the benchmarks' jobs.</summary>
    public const int DefaultPadding = 80;

    public byte[] Write(int length = DefaultPadding)
    {
        byte[] payload = new byte[Math.Max(Bytes, length)];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, Id);
        payload[8] = (byte)Kind;
        BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(9), Microseconds);
        return payload;
    }

    public static JobWork Read(ReadOnlySpan<byte> payload) => new(
        BinaryPrimitives.ReadUInt64LittleEndian(payload), (WorkKind)payload[8], BinaryPrimitives.ReadInt32LittleEndian(payload[9..]));
}
