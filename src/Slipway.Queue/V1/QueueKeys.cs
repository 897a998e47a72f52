using Slipway.Resp;

namespace Slipway.Queue.V1;

/// <summary>
/// The keys of one queue. One hash tag, so that a cluster keeps them on one node; "1" is the version of their layout: scripts
/// that change it use other keys.
/// </summary>
internal sealed class QueueKeys
{
    public QueueKeys(string queue)
    {
        string prefix = $"{{slipway:q:{queue}}}:1:";
        Ready = prefix + "ready";
        Delayed = prefix + "delayed";
        Leases = prefix + "leases";
        Dead = prefix + "dead";
        Done = prefix + "done";
        Jobs = prefix + "jobs";
        Runs = prefix + "runs";
        Errors = prefix + "errors";
        Token = prefix + "token";
        Wake = prefix + "wake";
        Queue = queue;
    }

    public string Queue { get; }

    /// <summary>List of ids, next one at the right end.</summary>
    public string Ready { get; }

    /// <summary>Sorted set: id, due ms.</summary>
    public string Delayed { get; }

    /// <summary>Sorted set: id, deadline ms.</summary>
    public string Leases { get; }

    /// <summary>Sorted set: id, died ms.</summary>
    public string Dead { get; }

    /// <summary>Sorted set: id, completed ms.</summary>
    public string Done { get; }

    /// <summary>Hash: id, <see cref="JobEntry"/>; of every job that is not done.</summary>
    public string Jobs { get; }

    /// <summary>Hash: id, "attempt losses token enqueued-ms"; done jobs keep theirs, so that a repeated complete is recognised.</summary>
    public string Runs { get; }

    /// <summary>Hash: id, last error.</summary>
    public string Errors { get; }

    /// <summary>Counter: the last fencing token.</summary>
    public string Token { get; }

    /// <summary>Channel: something became ready, or will be earlier than was known.</summary>
    public string Wake { get; }
}

/// <summary>The transitions, one script each; their contracts stand at the head of the files in Scripts/.</summary>
internal static class QueueScripts
{
    public static readonly RespScript Enqueue = Load("enqueue");
    public static readonly RespScript Lease = Load("lease");
    public static readonly RespScript Extend = Load("extend");
    public static readonly RespScript Complete = Load("complete");
    public static readonly RespScript Fail = Load("fail");
    public static readonly RespScript Release = Load("release");
    public static readonly RespScript Reap = Load("reap");
    public static readonly RespScript Redrive = Load("redrive");
    public static readonly RespScript Discard = Load("discard");
    public static readonly RespScript Dead = Load("dead");
    public static readonly RespScript Stats = Load("stats");

    private static RespScript Load(string name)
    {
        using Stream stream = typeof(QueueScripts).Assembly.GetManifestResourceStream(name + ".lua")!;
        using var reader = new StreamReader(stream);
        return new RespScript(name, reader.ReadToEnd());
    }
}
