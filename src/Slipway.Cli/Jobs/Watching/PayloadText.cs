using System.Text;
using System.Text.Json;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Watching;

/// <summary>A job's payload as text: JSON as it is, other bytes as UTF-8 where they are, else as their size.</summary>
internal static class PayloadText
{
    /// <summary>What a row of a table can use; a payload may have 256 KiB.</summary>
    private const int Most = 200;

    public static string Of(JsonElement? payload, byte[]? bytes)
    {
        if (payload is { } json)
        {
            return json.GetRawText();
        }

        if (bytes is not { Length: > 0 })
        {
            return "";
        }

        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return $"({Figures.Bytes(bytes.Length)} of binary data)";
        }
    }

    public static string Short(JsonElement? payload, byte[]? bytes) => Of(payload, bytes) is { Length: > Most } text ? text[..Most] : Of(payload, bytes);
}
