using Slipway.Resp;

namespace Slipway.Queue;

/// <summary>The transitions, one script each; their contracts stand at the head of the files in Scripts/.</summary>
internal static class QueueScripts
{
    public static readonly RespScript Enqueue = Load("enqueue");
    public static readonly RespScript Add = Load("add");
    public static readonly RespScript Fetch = Load("fetch");
    public static readonly RespScript Ack = Load("ack");
    public static readonly RespScript Settle = Load("settle");
    public static readonly RespScript Extend = Load("extend");
    public static readonly RespScript Reap = Load("reap");
    public static readonly RespScript Recover = Load("recover");
    public static readonly RespScript Configure = Load("configure");
    public static readonly RespScript Cancel = Load("cancel");
    public static readonly RespScript Progress = Load("progress");
    public static readonly RespScript Batch = Load("batch");
    public static readonly RespScript Report = Load("report");
    public static readonly RespScript Stats = Load("stats");
    public static readonly RespScript Redrive = Load("redrive");
    public static readonly RespScript Purge = Load("purge");
    public static readonly RespScript Limiter = Load("limiter");

    private const string Include = "--#include ";

    /// <summary>Parts are put in where a line asks for them: Redis gets one text and knows of no files.</summary>
    private static RespScript Load(string name) => new(name, string.Join('\n', Read(name + ".lua").Split('\n').Select(
        line => line.StartsWith(Include, StringComparison.Ordinal) ? Read($"parts.{line[Include.Length..].Trim()}.lua") : line)));

    private static string Read(string file)
    {
        using Stream stream = typeof(QueueScripts).Assembly.GetManifestResourceStream("queue." + file)!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
