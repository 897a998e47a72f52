using System.Text.RegularExpressions;

namespace Slipway.Jobs;

/// <summary>What names and keys may be made of: they stand in URLs, in Redis and in metrics.</summary>
internal static partial class JobText
{
    public const string NameRule = "must have 2 to 39 characters of a-z, 0-9 and -, starting with a letter";
    public const string TypeRule = "must have 1 to 100 printable ASCII characters without blanks and braces";
    public const string KeyRule = "must have 1 to 200 printable ASCII characters without blanks";
    public const string WorkerRule = "must have 1 to 64 characters of A-Z, a-z, 0-9 and . _ : -";

    public static bool IsName(string name) => NameForm().IsMatch(name);

    public static bool IsType(string type) => type.Length is > 0 and <= 100 && type.All(static one => one is > ' ' and <= '~' and not '{' and not '}');

    public static bool IsKey(string key) => key.Length is > 0 and <= 200 && key.All(static one => one is > ' ' and <= '~');

    public static bool IsWorker(string worker) => WorkerForm().IsMatch(worker);

    public static bool IsTraceParent(string text) => TraceParentForm().IsMatch(text);

    [GeneratedRegex("^[a-z][a-z0-9-]{1,38}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex NameForm();

    [GeneratedRegex("^[A-Za-z0-9._:-]{1,64}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex WorkerForm();

    // W3C Trace Context level 1, version 00.
    [GeneratedRegex("^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex TraceParentForm();
}
