using System.Text.Json;
using Slipway.Api;

namespace Slipway.Cli.Shell;

/// <summary>The wire contract, written for people: indented, and without escaping what a terminal can show.</summary>
internal static class CliJson
{
    public static ApiJson Indented { get; } = new(new JsonSerializerOptions(ApiJson.Default.Options)
    {
        WriteIndented = true,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>One object a line, for streams.</summary>
    public static ApiJson Lines { get; } = new(new JsonSerializerOptions(ApiJson.Default.Options)
    {
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
