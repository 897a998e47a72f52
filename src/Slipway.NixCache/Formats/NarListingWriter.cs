using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;

namespace Slipway.NixCache.Formats;

/// <summary>
/// Writes <c>.ls</c> JSON node by node while the NAR is read: entries come in order already, so no tree is built.
/// </summary>
/// <remarks>
/// Names and targets are bytes in a NAR and text in JSON. Bytes that are not UTF-8 are written as <c>\xE9</c> (a backslash and two
/// hex digits), because such paths exist and are served like any other: only the listing shows a substitute.
/// </remarks>
internal sealed class NarListingWriter : IDisposable
{
    // Two levels of JSON for each folder: the node, and its "entries".
    private static readonly JsonWriterOptions Options = new()
    {
        MaxDepth = (2 * NarParser.MaxDepth) + 8,
        SkipValidation = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly Utf8JsonWriter json;

    public NarListingWriter()
    {
        json = new Utf8JsonWriter(Listing, Options);
        json.WriteStartObject();
        json.WriteNumber("version"u8, 1);
        json.WritePropertyName("root"u8);
    }

    public NarListing Listing { get; } = new();

    /// <summary>Bytes so far, including those not handed over to <see cref="Listing"/> yet.</summary>
    public long Length => json.BytesCommitted + json.BytesPending;

    public void Name(ReadOnlySpan<byte> name)
    {
        if (Utf8.IsValid(name))
        {
            json.WritePropertyName(name);
        }
        else
        {
            json.WritePropertyName(WithSubstitutes(name));
        }
    }

    public void Symlink(ReadOnlySpan<byte> target)
    {
        json.WriteStartObject();
        json.WriteString("type"u8, "symlink"u8);
        if (Utf8.IsValid(target))
        {
            json.WriteString("target"u8, target);
        }
        else
        {
            json.WriteString("target"u8, WithSubstitutes(target));
        }

        json.WriteEndObject();
    }

    /// <param name="offset">Where the contents start in the NAR; 0 when it has none.</param>
    public void Regular(long size, bool executable, long offset)
    {
        json.WriteStartObject();
        json.WriteString("type"u8, "regular"u8);
        json.WriteNumber("size"u8, size);
        if (executable)
        {
            json.WriteBoolean("executable"u8, true);
        }

        if (offset > 0)
        {
            json.WriteNumber("narOffset"u8, offset);
        }

        json.WriteEndObject();
    }

    public void StartDirectory()
    {
        json.WriteStartObject();
        json.WriteString("type"u8, "directory"u8);
        json.WriteStartObject("entries"u8);
    }

    public void EndDirectory()
    {
        json.WriteEndObject();
        json.WriteEndObject();
    }

    public void Complete()
    {
        json.WriteEndObject();
        json.Flush();
    }

    public void Dispose()
    {
        json.Dispose();
        Listing.Dispose();
    }

    private static string WithSubstitutes(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        while (!bytes.IsEmpty)
        {
            var status = Rune.DecodeFromUtf8(bytes, out var rune, out var length);
            if (status == System.Buffers.OperationStatus.Done)
            {
                text.Append(rune.ToString());
            }
            else
            {
                foreach (var value in bytes[..length])
                {
                    text.Append(System.Globalization.CultureInfo.InvariantCulture, $"\\x{value:X2}");
                }
            }

            bytes = bytes[length..];
        }

        return text.ToString();
    }
}
