using System.Text.Json;
using System.Text.Json.Serialization;
using Slipway.Api;
using Slipway.Content;

namespace Slipway.Server.Stores;

/// <summary>
/// What is remembered of a store's scrub over restarts, in a file beside the store's segments: a store that moves to another machine brings it.
/// </summary>
/// <param name="Scrub">As of the moment of writing. One that says <c>running</c> was cut short by the end of its server and is to go on.</param>
/// <param name="Space">With <paramref name="Segment"/>, how far it had come; null: nowhere.</param>
internal sealed record ScrubNote(StoreScrub Scrub, Guid? Space = null, uint Segment = 0)
{
    private const string FileName = "scrub";

    [JsonIgnore]
    public StoreCheckPlace? Place => Space is { } space ? new StoreCheckPlace(space, Segment) : null;

    /// <summary>What the store was scrubbed last; one that says <c>never</c> when it wasn't, or nobody can read the note any more.</summary>
    public static ScrubNote Read(OpenedStore store)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(Path.Combine(store.Path, FileName)), ScrubJson.Default.ScrubNote) is { } note
                ? note with { Scrub = note.Scrub with { Store = store.Name } }
                : Never(store);
        }
        catch (Exception exception) when (exception is FileNotFoundException or JsonException)
        {
            return Never(store);
        }
    }

    /// <exception cref="IOException">The disk is full or reports errors.</exception>
    public void Write(OpenedStore store)
    {
        // Through a rename: half a note would be none.
        var draft = Path.Combine(store.Path, FileName + ".new");
        File.WriteAllBytes(draft, JsonSerializer.SerializeToUtf8Bytes(this, ScrubJson.Default.ScrubNote));
        File.Move(draft, Path.Combine(store.Path, FileName), overwrite: true);
    }

    private static ScrubNote Never(OpenedStore store) => new(new StoreScrub(store.Name, ScrubState.Never));
}

/// <summary>The states of a <see cref="StoreScrub"/>.</summary>
internal static class ScrubState
{
    public const string Never = "never";
    public const string Running = "running";
    public const string Done = "done";
    public const string Stopped = "stopped";
    public const string Failed = "failed";
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ScrubNote))]
internal sealed partial class ScrubJson : JsonSerializerContext;
