using System.Runtime.CompilerServices;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Producing;

/// <summary>The lines of a stream as the bytes they are; empty ones are left out.</summary>
internal static class ByteLines
{
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(Stream input, int longest, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var buffer = new byte[64 * 1024];
        var (start, end) = (0, 0);
        for (var number = 1; ;)
        {
            var at = buffer.AsSpan(start, end - start).IndexOf((byte)'\n');
            if (at >= 0)
            {
                var line = buffer.AsMemory(start, at);
                start += at + 1;
                number++;
                if (Trimmed(line) is { IsEmpty: false } content)
                {
                    yield return content.ToArray();
                }

                continue;
            }

            if (end - start > longest)
            {
                throw CliFailure.Usage($"line {number} has over {Figures.Bytes(longest)}: keep the payload elsewhere and enqueue where it is");
            }

            if (start > 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
            }
            else if (end == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }

            var read = await input.ReadAsync(buffer.AsMemory(end), cancellationToken);
            end += read;
            if (read == 0)
            {
                if (Trimmed(buffer.AsMemory(start, end - start)) is { IsEmpty: false } last)
                {
                    yield return last.ToArray();
                }

                yield break;
            }
        }
    }

    private static ReadOnlyMemory<byte> Trimmed(ReadOnlyMemory<byte> line) => line.Length > 0 && line.Span[^1] == '\r' ? line[..^1] : line;
}
