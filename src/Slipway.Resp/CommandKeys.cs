using System.Buffers.Text;
using System.Text;

namespace Slipway.Resp;

/// <summary>
/// Where a command has its (first) key: what a cluster routes by. From the key specifications of Redis 7 (<c>COMMAND DOCS</c>);
/// a command that is not listed has its key right after its name, as most have.
/// </summary>
internal static class CommandKeys
{
    /// <summary>No key: any node may answer. What changes every node (FLUSHALL, CONFIG SET, SCRIPT FLUSH) is for <see cref="RespCluster.Nodes"/>.</summary>
    private static readonly HashSet<string> Keyless = new(StringComparer.OrdinalIgnoreCase)
    {
        "ACL", "ASKING", "AUTH", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DEBUG", "DISCARD",
        "ECHO", "EXEC", "FAILOVER", "FLUSHALL", "FLUSHDB", "FUNCTION", "HELLO", "INFO", "KEYS", "LASTSAVE", "LATENCY", "LOLWUT",
        "MODULE", "MONITOR", "MULTI", "PING", "PSUBSCRIBE", "PUBLISH", "PUBSUB", "PUNSUBSCRIBE", "RANDOMKEY", "READONLY",
        "READWRITE", "REPLICAOF", "RESET", "ROLE", "SAVE", "SCAN", "SCRIPT", "SELECT", "SHUTDOWN", "SLOWLOG", "SUBSCRIBE",
        "SWAPDB", "TIME", "UNSUBSCRIBE", "UNWATCH", "WAIT", "WAITAOF",
    };

    /// <summary>A number of keys and then the keys, from this argument on.</summary>
    private static readonly Dictionary<string, int> Counted = new(StringComparer.OrdinalIgnoreCase)
    {
        ["EVAL"] = 2, ["EVALSHA"] = 2, ["EVAL_RO"] = 2, ["EVALSHA_RO"] = 2, ["FCALL"] = 2, ["FCALL_RO"] = 2,
        ["LMPOP"] = 1, ["SINTERCARD"] = 1, ["ZDIFF"] = 1, ["ZINTER"] = 1, ["ZINTERCARD"] = 1, ["ZMPOP"] = 1, ["ZUNION"] = 1,
        ["BLMPOP"] = 2, ["BZMPOP"] = 2,
    };

    /// <summary>A subcommand stands before the key.</summary>
    private static readonly HashSet<string> Second = new(StringComparer.OrdinalIgnoreCase) { "BITOP", "MEMORY", "OBJECT", "XGROUP", "XINFO" };

    /// <summary>The key, or null when the command has none.</summary>
    public static ReadOnlyMemory<byte>? Of(RespCommand command)
    {
        string name = command.Name;
        if (Keyless.Contains(name))
        {
            return null;
        }

        if (Counted.TryGetValue(name, out int counter))
        {
            return command.Argument(counter) is { } digits && Utf8Parser.TryParse(digits.Span, out int count, out _) && count > 0
                ? command.Argument(counter + 1)
                : null;
        }

        return name.StartsWith("XREAD", StringComparison.OrdinalIgnoreCase)
            ? AfterStreams(command)
            : command.Argument(Second.Contains(name) ? 2 : 1);
    }

    /// <summary><c>XREAD [COUNT n] [BLOCK n] STREAMS key …</c></summary>
    private static ReadOnlyMemory<byte>? AfterStreams(RespCommand command)
    {
        for (int i = 1; command.Argument(i) is { } word; i++)
        {
            if (Ascii.EqualsIgnoreCase(word.Span, "STREAMS"))
            {
                return command.Argument(i + 1);
            }
        }

        return null;
    }
}
