using System.Globalization;
using Slipway.Queue;

namespace Slipway.Jobs.Working;

/// <summary>
/// A block's id as workers see it: <c>id~size</c>, and <c>~bitmap</c> when the end of some of its jobs needs more than a bit. Any server
/// can then end any block without having leased it, and a worker needs to know nothing of it.
/// </summary>
/// <remarks>Made up or changed, it can only harm its own queue's leases, and only with the right to work on them: Redis looks the rest up in that queue.</remarks>
internal sealed record WireBlock(string Id, int Size, byte[] Settles)
{
    /// <summary>A worker's name has 128 characters at most, the numbers before it 40, a bitmap of 1,000 jobs 250.</summary>
    private const int Longest = 500;

    public static WireBlock Of(JobBlock block)
    {
        byte[] settles = [];
        for (var i = 0; i < block.Jobs.Count; i++)
        {
            if (block.Jobs[i].NeedsSettling)
            {
                settles = settles.Length > 0 ? settles : new byte[(block.Jobs.Count + 7) / 8];
                settles[i / 8] |= (byte)(1 << (i % 8));
            }
        }

        return new WireBlock(block.Id, block.Jobs.Count, settles);
    }

    public static WireBlock? Read(string text)
    {
        if (text.Length > Longest || text.Split('~') is not { Length: 2 or 3 } parts
            || !IsId(parts[0]) || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var size) || size is < 1 or > 1000)
        {
            return null;
        }

        var settles = parts.Length == 3 ? new byte[(size + 7) / 8] : [];
        return parts.Length == 3 && (Convert.FromHexString(parts[2], settles, out _, out var written) != System.Buffers.OperationStatus.Done || written != settles.Length)
            ? null
            : new WireBlock(parts[0], size, settles);
    }

    public bool MustSettle(int index) => Settles.Length > 0 && (Settles[index / 8] & (1 << (index % 8))) != 0;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{Id}~{Size}{(Settles.Length > 0 ? "~" + Convert.ToHexStringLower(Settles) : "")}");

    // token.size.bytes.lane.worker: begins with a digit, so that no mark of the queue's own can be put before it.
    private static bool IsId(string id) =>
        id.Length > 0 && char.IsAsciiDigit(id[0]) && id.All(static one => one is > ' ' and < '~' and not '{' and not '}' and not '?');
}
