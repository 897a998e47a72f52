using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Slipway.Bench.Queues;

/// <summary>What Redis had used up at one moment.</summary>
/// <param name="CpuSeconds">User and system time of all its threads.</param>
/// <param name="Commands">Executed so far, those inside scripts included.</param>
/// <param name="Memory">Bytes that the data and the connections take (used_memory).</param>
internal sealed record RedisSample(double CpuSeconds, long Commands, long Memory);

/// <summary>
/// Reads the state of a Redis server with a few lines of RESP2 of its own: the instrument must not be a part of what is measured.
/// </summary>
internal sealed class RedisProbe : IDisposable
{
    private readonly TcpClient client;
    private readonly BufferedStream stream;

    private RedisProbe(TcpClient client)
    {
        this.client = client;
        stream = new BufferedStream(client.GetStream());
    }

    public static async Task<RedisProbe> ConnectAsync(int port, CancellationToken cancellationToken)
    {
        var client = new TcpClient { NoDelay = true };
        try
        {
            await client.ConnectAsync(IPAddress.Loopback, port, cancellationToken);
            return new RedisProbe(client);
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <summary>The reply: a number, a text, or null. Arrays are not asked for.</summary>
    public object? Send(params string[] command)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"*{command.Length}\r\n");
        foreach (var part in command)
        {
            text.Append(CultureInfo.InvariantCulture, $"${Encoding.UTF8.GetByteCount(part)}\r\n{part}\r\n");
        }

        stream.Write(Encoding.UTF8.GetBytes(text.ToString()));
        stream.Flush();
        var line = ReadLine();
        switch (line[0])
        {
            case ':':
                return long.Parse(line.AsSpan(1), CultureInfo.InvariantCulture);
            case '+':
                return line[1..];
            case '$' when line != "$-1":
                var bytes = new byte[int.Parse(line.AsSpan(1), CultureInfo.InvariantCulture)];
                stream.ReadExactly(bytes);
                ReadLine();
                return Encoding.UTF8.GetString(bytes);
            case '$':
                return null;
            default:
                throw new InvalidOperationException($"Redis answered {string.Join(' ', command)} with {line}");
        }
    }

    /// <summary>The sum of what the commands (LLEN, ZCARD, …) return.</summary>
    public long Sum(IEnumerable<string> commands) => commands.Sum(command => (long)Send(command.Split(' '))!);

    /// <summary>After MONITOR: the commands that clients have sent up to the one that holds <paramref name="last"/>, which is not counted.</summary>
    public int CountSentCommands(string last)
    {
        for (var sent = 0; ;)
        {
            // +1339518083.107412 [0 127.0.0.1:60866] "keys" "*", and [0 lua] for what scripts call.
            var line = ReadLine();
            if (line.Contains(last, StringComparison.OrdinalIgnoreCase))
            {
                return sent;
            }

            sent += line.Contains("[0 lua]", StringComparison.Ordinal) ? 0 : 1;
        }
    }

    public RedisSample Sample()
    {
        var info = Info();
        double Number(string name) => double.Parse(info[name], CultureInfo.InvariantCulture);
        return new RedisSample(Number("used_cpu_user") + Number("used_cpu_sys"), (long)Number("total_commands_processed"), (long)Number("used_memory"));
    }

    public string Version => Info()["redis_version"];

    public void Dispose()
    {
        stream.Dispose();
        client.Dispose();
    }

    private Dictionary<string, string> Info() => ((string)Send("INFO", "everything")!).Split("\r\n")
        .Select(line => line.Split(':', 2)).Where(pair => pair.Length == 2).DistinctBy(pair => pair[0])
        .ToDictionary(pair => pair[0], pair => pair[1]);

    private string ReadLine()
    {
        var line = new StringBuilder();
        while (true)
        {
            switch (stream.ReadByte())
            {
                case -1: throw new InvalidOperationException("Redis closed the connection.");
                case '\r': break;
                case '\n': return line.ToString();
                case var letter: line.Append((char)letter); break;
            }
        }
    }
}
