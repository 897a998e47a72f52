using System.Text;
using System.Text.Json;
using Slipway.Api;

namespace Slipway.Cli.Jobs.Producing;

/// <summary>A payload as a person gives it: JSON where it is JSON, else the bytes.</summary>
internal readonly record struct JobPayload(JsonElement? Json, byte[]? Bytes)
{
    public static JobPayload OfText(string text) => Of(Encoding.UTF8.GetBytes(text));

    public static JobPayload Of(byte[] bytes)
    {
        if (bytes.Length == 0)
        {
            return default;
        }

        try
        {
            return new JobPayload(JsonElement.Parse(bytes), null);
        }
        catch (JsonException)
        {
            return new JobPayload(null, bytes);
        }
    }

    public NewJob On(NewJob job) => job with { Payload = Json, PayloadBytes = Bytes };
}
