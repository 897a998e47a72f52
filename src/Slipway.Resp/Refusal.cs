namespace Slipway.Resp;

/// <summary>What an error that means "not executed, ask again" asks of us. Several at once when a pipeline met several.</summary>
[Flags]
internal enum Refusals
{
    None = 0,

    /// <summary>NOSCRIPT: load the script, then ask again.</summary>
    Script = 1,

    /// <summary>LOADING, BUSY, CLUSTERDOWN, TRYAGAIN: ask again a little later.</summary>
    Busy = 2,

    /// <summary>READONLY, MASTERDOWN: this server is not, or no longer, the master: find out who is.</summary>
    Demoted = 4,

    /// <summary>MOVED, ASK: another node of the cluster has it.</summary>
    Redirected = 8,
}

/// <summary>Reads the errors of a server (<c>server.c</c>: createSharedObjects; <c>cluster.c</c>: clusterRedirectClient).</summary>
internal static class Refusal
{
    /// <summary>What an error asks of us, apart from NOSCRIPT and redirections, which need more than the code.</summary>
    public static Refusals Of(string code) => code switch
    {
        "LOADING" or "BUSY" or "CLUSTERDOWN" or "TRYAGAIN" => Refusals.Busy,
        "READONLY" or "MASTERDOWN" => Refusals.Demoted,
        _ => Refusals.None,
    };

    /// <summary>What an answer asks of us before <paramref name="pending"/> can be sent again; <see cref="Refusals.None"/>: it is the answer.</summary>
    public static Refusals Of(PendingReply pending, string error, bool inCluster)
    {
        string code = CodeOf(error);
        return code switch
        {
            "NOSCRIPT" when pending.Command.Script is not null => Refusals.Script,
            "MOVED" or "ASK" when inCluster && !pending.Pinned => Refusals.Redirected,
            _ => Of(code),
        };
    }

    public static string CodeOf(string error)
    {
        int end = error.IndexOf(' ', StringComparison.Ordinal);
        return end < 0 ? error : error[..end];
    }
}
