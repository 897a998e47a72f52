using System.Text;
using System.Text.Json;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Working;

/// <summary>
/// The command of <c>--exec</c>: split into words once, when it is given, and never again. A payload takes the place of <c>{}</c> inside
/// a word and stays one argument, whatever is in it: no shell sees it.
/// </summary>
internal sealed class CommandLine
{
    /// <summary>MAX_ARG_STRLEN of Linux: 32 pages, its final zero included.</summary>
    public const int LongestArgument = (128 * 1024) - 1;

    private const string WholePayload = "{}";

    private readonly IReadOnlyList<string> words;

    private CommandLine(IReadOnlyList<string> words) => this.words = words;

    public string Program => words[0];

    public static CommandLine Parse(string text)
    {
        var words = Split(text);
        if (words.Count == 0)
        {
            throw CliFailure.Usage("--exec is empty", "slipway jobs work QUEUE --exec 'echo {}'");
        }

        return words[0].Contains('{', StringComparison.Ordinal)
            ? throw CliFailure.Usage("the payload can't choose the program: write its name in --exec")
            : new CommandLine(words);
    }

    /// <exception cref="UnfitPayloadException">The payload can't be an argument.</exception>
    public IReadOnlyList<string> ArgumentsFor(RunningJob job) => [.. words.Skip(1).Select(word => Fill(word, job))];

    private static string Fill(string word, RunningJob job)
    {
        if (!word.Contains('{', StringComparison.Ordinal))
        {
            return word;
        }

        var filled = new StringBuilder();
        for (var at = 0; at < word.Length;)
        {
            if (string.CompareOrdinal(word, at, WholePayload, 0, WholePayload.Length) == 0)
            {
                filled.Append(PayloadText(job.Payload));
                at += WholePayload.Length;
            }
            else if (word[at] == '{' && at + 1 < word.Length && word[at + 1] == '.' && word.IndexOf('}', at) is > 0 and var end)
            {
                filled.Append(Field(job, word[(at + 2)..end]));
                at = end + 1;
            }
            else
            {
                filled.Append(word[at++]);
            }
        }

        var text = filled.ToString();
        return text.Contains('\0', StringComparison.Ordinal) ? throw new UnfitPayloadException("it holds a zero byte")
            : Encoding.UTF8.GetByteCount(text) > LongestArgument ? throw new UnfitPayloadException($"it is longer than the {LongestArgument} bytes that an argument may have")
            : text;
    }

    private static string PayloadText(byte[] payload)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(payload);
        }
        catch (DecoderFallbackException)
        {
            throw new UnfitPayloadException("it is not UTF-8");
        }
    }

    /// <summary>A field of a JSON payload: the text of a string, everything else as JSON.</summary>
    private static string Field(RunningJob job, string name) =>
        job.Job.Payload is { ValueKind: JsonValueKind.Object } json && json.TryGetProperty(name, out var value)
            ? value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText()
            : throw new UnfitPayloadException($"it has no field \"{name}\"");

    /// <summary>Words as a POSIX shell parts them: blanks, '…', "…" and \. Nothing is expanded.</summary>
    private static List<string> Split(string text)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var inWord = false;
        var quote = '\0';
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (quote == '\'' ? c == '\'' : quote == '"' && c == '"')
            {
                quote = '\0';
            }
            else if (quote == '\'')
            {
                word.Append(c);
            }
            else if (c == '\\' && i + 1 < text.Length && (quote == '\0' || text[i + 1] is '"' or '\\'))
            {
                word.Append(text[++i]);
                inWord = true;
            }
            else if (quote == '\0' && c is '\'' or '"')
            {
                if (quote == '"')
                {
                    word.Append(c);
                }
                else
                {
                    quote = c;
                    inWord = true;
                }
            }
            else if (quote == '\0' && char.IsWhiteSpace(c))
            {
                if (inWord)
                {
                    words.Add(word.ToString());
                    word.Clear();
                    inWord = false;
                }
            }
            else
            {
                word.Append(c);
                inWord = true;
            }
        }

        if (quote != '\0')
        {
            throw CliFailure.Usage($"--exec has a {quote} that is not closed");
        }

        if (inWord)
        {
            words.Add(word.ToString());
        }

        return words;
    }
}

/// <summary>The payload can't be what the command wants it to be.</summary>
internal sealed class UnfitPayloadException(string why) : Exception($"The payload can't be an argument: {why}. It is on the command's stdin, too.");
