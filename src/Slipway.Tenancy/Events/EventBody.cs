using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// The canonical JSON of an event: fixed order of fields, no spaces, keys of details sorted. The text is stored as hashed, so a
/// verifier needs no canonicaliser: it hashes what it reads.
/// </summary>
internal static class EventBody
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    public static string Write(Guid chainId, long seq, DateTimeOffset at, PendingEvent pending)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            var origin = pending.Origin;
            json.WriteStartObject();
            json.WriteString("chain", EventLog.ShowChain(chainId));
            json.WriteNumber("seq", seq);
            json.WriteString("at", at.UtcDateTime);
            json.WriteString("action", pending.Action);
            json.WriteStartObject("actor");
            json.WriteString("type", origin.ActorType);
            json.WriteString("id", Ids.Actor(origin.ActorType, origin.ActorId));
            json.WriteString("name", origin.ActorName);
            json.WriteString("via", origin.Via);
            WriteOptional(json, "credentialId", origin.CredentialId);
            json.WriteEndObject();
            json.WriteStartObject("target");
            json.WriteString("type", pending.Target.Type);
            json.WriteString("id", pending.Target.Id);
            json.WriteString("name", pending.Target.Name);
            json.WriteEndObject();
            if (pending.Details is not null)
            {
                json.WritePropertyName("details");
                WriteSorted(json, pending.Details);
            }

            WriteOptional(json, "requestId", origin.RequestId);
            WriteOptional(json, "ip", origin.Ip);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    public static byte[] Hash(ReadOnlySpan<byte> previous, string body)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(previous);
        hash.AppendData(Encoding.UTF8.GetBytes(body));
        return hash.GetHashAndReset();
    }

    /// <summary>The wire form of a stored event.</summary>
    public static Event Read(string body, byte[] hash)
    {
        var json = JsonNode.Parse(body)!.AsObject();
        var actor = json["actor"]!.AsObject();
        var target = json["target"]!.AsObject();
        var details = json["details"]?.DeepClone().AsObject();
        return new Event(
            json["seq"]!.GetValue<long>(),
            json["at"]!.GetValue<DateTimeOffset>(),
            Text(json, "action")!,
            new EventActor(Text(actor, "type")!, Text(actor, "id")!, Text(actor, "name")!, Text(actor, "via")!, Text(actor, "credentialId")),
            new EventTarget(Text(target, "type")!, Text(target, "id")!, Text(target, "name")!),
            details,
            Text(json, "requestId"),
            Text(json, "ip"),
            Convert.ToHexStringLower(hash));
    }

    private static string? Text(JsonObject json, string name) => json[name]?.GetValue<string>();

    private static void WriteOptional(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null)
        {
            json.WriteString(name, value);
        }
    }

    private static void WriteSorted(Utf8JsonWriter json, JsonNode? node)
    {
        switch (node)
        {
            case null:
                json.WriteNullValue();
                break;
            case JsonObject map:
                json.WriteStartObject();
                foreach (var (name, value) in map.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                {
                    json.WritePropertyName(name);
                    WriteSorted(json, value);
                }

                json.WriteEndObject();
                break;
            case JsonArray list:
                json.WriteStartArray();
                foreach (var item in list)
                {
                    WriteSorted(json, item);
                }

                json.WriteEndArray();
                break;
            default:
                node.WriteTo(json);
                break;
        }
    }
}
