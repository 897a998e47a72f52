using System.Text;

namespace Slipway.Cli.Jobs.Working;

/// <summary>Reads an output to its end and keeps a bounded part: its beginning, or its end.</summary>
internal sealed class OutputTail(int most, bool keepEnd)
{
    /// <summary>A longer line is shown in pieces.</summary>
    private const int LongestLine = 4096;

    private readonly MemoryStream kept = new();

    public bool IsCut { get; private set; }

    public byte[] Bytes => keepEnd && kept.Length > most ? kept.ToArray()[^most..] : kept.ToArray();

    public async Task CopyAsync(Stream from, Action<string> line, CancellationToken cancellationToken)
    {
        var buffer = new byte[4096];
        var text = new StringBuilder();
        var decoder = Encoding.UTF8.GetDecoder();
        var characters = new char[buffer.Length + 1];
        try
        {
            while (await from.ReadAsync(buffer, cancellationToken) is > 0 and var read)
            {
                Keep(buffer.AsSpan(0, read));
                var count = decoder.GetChars(buffer, 0, read, characters, 0);
                foreach (var c in characters.AsSpan(0, count))
                {
                    if (c == '\n' || text.Length == LongestLine)
                    {
                        line(text.ToString());
                        text.Clear();
                    }

                    if (c != '\n')
                    {
                        text.Append(c);
                    }
                }
            }
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            // Whoever holds the other end is not waited for.
        }

        if (text.Length > 0)
        {
            line(text.ToString());
        }
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (keepEnd)
        {
            if (kept.Length > 2 * most)
            {
                var end = kept.ToArray()[^most..];
                kept.SetLength(0);
                kept.Write(end);
            }

            kept.Write(bytes);
            return;
        }

        var room = (int)Math.Min(bytes.Length, most - kept.Length);
        kept.Write(bytes[..room]);
        IsCut |= most > 0 && room < bytes.Length;
    }
}
