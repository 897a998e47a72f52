using System.Text;

namespace Slipway.Api.Client;

/// <summary>Fills the <c>{holes}</c> of a template from <see cref="Routes"/>, in order, escaping each value as one path segment.</summary>
internal static class RouteTemplate
{
    public static string Fill(string template, params ReadOnlySpan<string> values)
    {
        var path = new StringBuilder(template.Length + 32);
        var rest = template.AsSpan();
        var next = 0;
        int open;
        while ((open = rest.IndexOf('{')) >= 0)
        {
            var close = rest.IndexOf('}');
            path.Append(rest[..open]).Append(Segment(values[next++]));
            rest = rest[(close + 1)..];
        }

        if (next != values.Length)
        {
            throw new ArgumentException($"{template} takes {next} values, not {values.Length}", nameof(values));
        }

        return path.Append(rest).ToString();
    }

    // "." and ".." are not changed by escaping, and Uri would walk up the path: a name must never turn into another route.
    private static string Segment(string value) =>
        value is "" or "." or ".."
            ? throw new ArgumentException($"\"{value}\" cannot be a name", nameof(value))
            : Uri.EscapeDataString(value);
}
