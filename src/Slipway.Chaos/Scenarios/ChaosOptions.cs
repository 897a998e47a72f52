using System.Globalization;

namespace Slipway.Chaos.Scenarios;

/// <summary>What <c>slipway jobs chaos</c> was asked for.</summary>
internal sealed record ChaosOptions
{
    public const string Usage = """
        slipway jobs chaos [--only F1,F6] [--quick] [--seconds N] [--json FILE] [--report FILE] [--redis-server PATH] [--seed N] [--jobs N] [--list]

          --only IDS           these scenarios, in this order of the matrix (also MILLION: 1,000,000 jobs through 4 workers, one killed every 5 s)
          --quick              the quick half, with shorter faults: about 100 s
          --seconds N          length of the soak F26 (600; 10 with --quick)
          --jobs N             jobs of MILLION (1000000)
          --json FILE          results for programs; - prints them
          --report FILE        results for people, in Markdown
          --redis-server PATH  the program to start (redis-server or valkey-server)
          --seed N             seed of all random choices; printed, so that a run can be repeated
          --list               the scenarios, without running any

        Starts redis-servers, workers and producers of its own in temporary folders. Exit code 1 when a scenario failed;
        aims of speed that were missed are told, and fail nothing.
        """;

    private static readonly string[] Servers = ["/usr/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/valkey-server", "/usr/local/bin/valkey-server"];

    public IReadOnlyList<string> Only { get; init; } = [];

    public bool Quick { get; init; }

    public int? Seconds { get; init; }

    public long Jobs { get; init; } = 1_000_000;

    public string? JsonFile { get; init; }

    public string? ReportFile { get; init; }

    public string? RedisServer { get; init; }

    public int Seed { get; init; } = Random.Shared.Next(1, 1_000_000);

    public bool ListOnly { get; init; }

    /// <summary>The folder of a scenario that failed stays, for people to look into.</summary>
    public bool KeepLogs { get; init; } = true;

    public int SoakSeconds => Seconds ?? (Quick ? 10 : 600);

    public string RedisProgram => RedisServer ?? Array.Find(Servers, File.Exists)
        ?? throw new ArgumentException("redis-server is not installed. Run: apt-get install redis-server (or say --redis-server PATH)");

    /// <exception cref="ArgumentException">Names what is wrong.</exception>
    public static ChaosOptions Parse(IReadOnlyList<string> words)
    {
        var options = new ChaosOptions();
        for (int i = 0; i < words.Count; i++)
        {
            string word = words[i];
            string Value() => ++i < words.Count ? words[i] : throw new ArgumentException($"{word} wants a value");
            int Number(int most) => int.TryParse(Value(), NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 1 && number <= most
                ? number : throw new ArgumentException($"{word} wants a number from 1 to {most}, not \"{words[i]}\"");
            options = word switch
            {
                "--only" => options with { Only = [.. Value().Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)] },
                "--quick" => options with { Quick = true },
                "--seconds" => options with { Seconds = Number(86_400) },
                "--jobs" => options with { Jobs = Number(100_000_000) },
                "--json" => options with { JsonFile = Value() },
                "--report" => options with { ReportFile = Value() },
                "--redis-server" => options with { RedisServer = Value() },
                "--seed" => options with { Seed = Number(int.MaxValue) },
                "--list" => options with { ListOnly = true },
                _ => throw new ArgumentException($"unknown word \"{word}\""),
            };
        }

        string[] unknown = [.. options.Only.Where(id => !ScenarioTable.All.Any(one => one.IsMeantBy(id)))];
        return unknown.Length == 0 ? options : throw new ArgumentException($"there is no scenario {string.Join(", ", unknown)}; there are {string.Join(' ', ScenarioTable.All.Select(one => one.Id))}");
    }
}
