using System.Text;

namespace Slipway.Cli.Terminals;

/// <summary>
/// Text from elsewhere, made safe to show: an escape sequence in a name must not be able to recolour, retitle or overwrite the terminal.
/// </summary>
internal static class Printable
{
    public static string Text(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\0', '\x1f') && !text.AsSpan().ContainsAnyInRange('\x7f', '\x9f'))
        {
            return text;
        }

        var safe = new StringBuilder(text.Length);
        foreach (var c in text)
        {
            safe.Append(c switch
            {
                '\t' or '\n' or '\r' => ' ',
                < ' ' or (>= '\x7f' and <= '\x9f') => '\ufffd',
                _ => c,
            });
        }

        return safe.ToString();
    }
}
