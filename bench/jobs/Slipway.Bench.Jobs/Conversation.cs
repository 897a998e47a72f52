using System.Text.Json.Nodes;

namespace Slipway.Bench.Jobs;

/// <summary>What is said with the runner: lines of JSON on stdout, a line on stdin for the start, its end for the stop.</summary>
internal static class Conversation
{
    private static readonly TextWriter Output = TextWriter.Synchronized(new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true });

    public static void Say(JsonObject values) => Output.WriteLine(values.ToJsonString());

    /// <summary>Says that all is connected, and waits for the start.</summary>
    public static async Task ReadyAsync()
    {
        Say(new JsonObject { ["ready"] = true });
        await Console.In.ReadLineAsync();
    }

    /// <summary>Until the runner closes stdin.</summary>
    public static async Task UntilEndAsync()
    {
        while (await Console.In.ReadLineAsync() is not null)
        {
        }
    }

    /// <summary>Says something 20 times a second until it is disposed.</summary>
    public static IDisposable Repeat(Func<JsonObject> values) => new Timer(_ => Say(values()), null, 50, 50);
}
