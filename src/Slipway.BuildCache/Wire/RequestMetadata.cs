using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Slipway.BuildCache.Wire;

/// <summary>
/// What a client tells of itself and of the action a call belongs to (REAPI RequestMetadata). Every part may be empty; nothing of it
/// is checked by anybody, so it is for statistics and for shaping answers, never for deciding about access.
/// </summary>
internal sealed record RequestMetadata(
    string ToolName,
    string ToolVersion,
    string ActionId,
    string InvocationId,
    string CorrelatedInvocationsId,
    string ActionMnemonic,
    string TargetId,
    string ConfigurationId)
{
    public const string HeaderName = "build.bazel.remote.execution.v2.requestmetadata-bin";

    /// <summary>The name that clients of the API's first version still send.</summary>
    public const string OlderHeaderName = "google.devtools.remoteexecution.v1test.requestmetadata-bin";

    /// <summary>Longest header looked at, as base64: eight fields of a few hundred characters.</summary>
    private const int LongestHeader = 8192;

    /// <summary>Longest value kept; a target label in a deep tree has some 300 characters.</summary>
    private const int LongestValue = 1024;

    public static RequestMetadata None { get; } = new("", "", "", "", "", "", "", "");

    /// <summary>Bazel, of whatever version, calls itself this.</summary>
    public bool IsBazel => ToolName.Equals("bazel", StringComparison.OrdinalIgnoreCase);

    /// <summary>The first number of the version; null for development builds and Debian's, whose version is empty.</summary>
    public int? MajorVersion => int.TryParse(ToolVersion.AsSpan()[..Math.Max(0, ToolVersion.IndexOf('.'))], out var major) ? major : null;

    /// <summary>The header as it came, or null; cheap, so that the hot path can leave reading it to others.</summary>
    public static string? Header(IHeaderDictionary headers)
    {
        if (!headers.TryGetValue(HeaderName, out var values) && !headers.TryGetValue(OlderHeaderName, out values))
        {
            return null;
        }

        // Several lines of one header mean the same as one line with commas, of which the last part counts.
        return values.Count > 0 ? values[^1] : null;
    }

    public static RequestMetadata Of(HttpContext http) => Parse(Header(http.Request.Headers));

    /// <summary>
    /// Reads base64 with or without padding. Of several values joined by commas (proxies do that) the last one counts: it was
    /// added nearest to us. What can't be read is as good as absent.
    /// </summary>
    public static RequestMetadata Parse(string? header)
    {
        if (header is null || header.Length > LongestHeader)
        {
            return None;
        }

        var text = header.AsSpan();
        var comma = text.LastIndexOf(',');
        text = text[(comma + 1)..].Trim().TrimEnd('=');
        var rented = ArrayPool<byte>.Shared.Rent(text.Length + 3);
        try
        {
            var length = Encoding.ASCII.GetBytes(text, rented);
            // Neither alphabet is told by the header; the two differ in two characters.
            rented.AsSpan(0, length).Replace((byte)'-', (byte)'+');
            rented.AsSpan(0, length).Replace((byte)'_', (byte)'/');
            while (length % 4 != 0)
            {
                rented[length++] = (byte)'=';
            }

            return Base64.DecodeFromUtf8InPlace(rented.AsSpan(0, length), out var decoded) == OperationStatus.Done
                ? Read(rented.AsSpan(0, decoded))
                : None;
        }
        catch (WireFormatException)
        {
            return None;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private static RequestMetadata Read(ReadOnlySpan<byte> message)
    {
        string tool = "", version = "", action = "", invocation = "", correlated = "", mnemonic = "", target = "", configuration = "";
        var reader = new ProtoReader(message);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    var details = new ProtoReader(reader.Bytes());
                    while (details.Next(out var detail))
                    {
                        switch (detail)
                        {
                            case 1:
                                tool = Text(details.Bytes());
                                break;
                            case 2:
                                version = Text(details.Bytes());
                                break;
                            default:
                                details.Skip();
                                break;
                        }
                    }

                    break;
                case 2:
                    action = Text(reader.Bytes());
                    break;
                case 3:
                    invocation = Text(reader.Bytes());
                    break;
                case 4:
                    correlated = Text(reader.Bytes());
                    break;
                case 5:
                    mnemonic = Text(reader.Bytes());
                    break;
                case 6:
                    target = Text(reader.Bytes());
                    break;
                case 7:
                    configuration = Text(reader.Bytes());
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return new RequestMetadata(tool, version, action, invocation, correlated, mnemonic, target, configuration);
    }

    // A fixed list of names comes again and again: one string of "bazel" is enough.
    private static string Text(ReadOnlySpan<byte> utf8) => utf8.Length switch
    {
        0 => "",
        5 when utf8.SequenceEqual("bazel"u8) => "bazel",
        _ => Encoding.UTF8.GetString(utf8[..Math.Min(utf8.Length, LongestValue)]),
    };
}
