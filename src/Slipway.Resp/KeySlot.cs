namespace Slipway.Resp;

/// <summary>Which of the 16384 slots of a cluster a key belongs to (Redis cluster specification, "Key distribution model").</summary>
internal static class KeySlot
{
    public const int Count = 16384;

    private static readonly ushort[] Table = MakeTable();

    /// <summary>Of the text between the first <c>{</c> and the <c>}</c> after it, when there is any; otherwise of the whole key.</summary>
    public static int Of(ReadOnlySpan<byte> key)
    {
        int open = key.IndexOf((byte)'{');
        if (open >= 0)
        {
            ReadOnlySpan<byte> rest = key[(open + 1)..];
            int close = rest.IndexOf((byte)'}');
            if (close > 0)
            {
                key = rest[..close];
            }
        }

        ushort crc = 0;
        foreach (byte one in key)
        {
            crc = (ushort)((crc << 8) ^ Table[(crc >> 8) ^ one]);
        }

        return crc % Count;
    }

    /// <summary>CRC-16/XMODEM: polynomial 0x1021, start 0.</summary>
    private static ushort[] MakeTable()
    {
        var table = new ushort[256];
        for (int i = 0; i < table.Length; i++)
        {
            int crc = i << 8;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
            }

            table[i] = (ushort)crc;
        }

        return table;
    }
}
