using Slipway.Server.Configuration;

namespace Slipway.Server.Commands;

/// <summary>What the command line asks for.</summary>
/// <param name="Verb">The words before flags: <c>up</c>, <c>config check</c>…</param>
/// <param name="Arguments">What follows the verb without a dash.</param>
/// <param name="Error">Null unless the line can't be understood: one sentence.</param>
internal sealed record CommandLine(
    string Verb,
    IReadOnlyList<string> Arguments,
    string? ConfigFile,
    IReadOnlyList<Setting> Settings,
    bool Json,
    bool Help,
    string? Error)
{
    private static readonly string[] Verbs = ["up", "config check", "config show", "config explain", "version", "help"];

    // Flags that are a key by a shorter name. Everything else goes by --set, secrets best by environment or file: a command line is public.
    private static readonly (string Flag, ConfigurationKey Key)[] KeyFlags =
    [
        ("--http", ConfigurationKeys.HttpListen),
        ("--grpc", ConfigurationKeys.GrpcListen),
        ("--data", ConfigurationKeys.DataFolder),
        ("--public-url", ConfigurationKeys.HttpPublicUrl),
        ("--log-format", ConfigurationKeys.LogFormat),
        ("--log-level", ConfigurationKeys.LogLevel),
    ];

    public static CommandLine Parse(IReadOnlyList<string> args)
    {
        List<string> words = [];
        List<Setting> settings = [];
        string? configFile = null;
        string? error = null;
        var (json, help) = (false, false);
        for (var i = 0; i < args.Count; i++)
        {
            var argument = args[i];
            if (!argument.StartsWith('-') || argument == "-")
            {
                words.Add(argument);
                continue;
            }

            var equals = argument.StartsWith("--", StringComparison.Ordinal) ? argument.IndexOf('=', StringComparison.Ordinal) : -1;
            var flag = equals < 0 ? argument : argument[..equals];
            switch (flag)
            {
                case "--help" or "-h":
                    help = true;
                    continue;
                case "--json":
                    json = true;
                    continue;
                case "--version":
                    words.Insert(0, "version");
                    continue;
            }

            if (flag is not ("--config" or "--set") && KeyFlags.All(known => known.Flag != flag))
            {
                var nearest = NearestName.Of(flag, [.. KeyFlags.Select(known => known.Flag), "--config", "--set", "--json", "--help"]);
                error ??= $"there is no flag {flag}" + (nearest is null ? "" : $"; did you mean {nearest}?");
                continue;
            }

            if (equals < 0 && i + 1 >= args.Count)
            {
                error ??= $"{flag} needs a value";
                continue;
            }

            var value = equals < 0 ? args[++i] : argument[(equals + 1)..];
            if (flag == "--config")
            {
                error ??= configFile is null ? null : "--config is given twice";
                configFile = value;
            }
            else if (flag == "--set")
            {
                var split = value.IndexOf('=', StringComparison.Ordinal);
                if (split <= 0)
                {
                    error ??= "--set needs KEY=VALUE, such as --set http.listen=127.0.0.1:7474";
                    continue;
                }

                settings.Add(new Setting(value[..split], value[(split + 1)..], new Origin(OriginKind.Flag, "--set")));
            }
            else
            {
                settings.Add(new Setting(KeyFlags.First(known => known.Flag == flag).Key.Name, value, new Origin(OriginKind.Flag, flag)));
            }
        }

        return Understand(words, configFile, settings, json, help, error);
    }

    private static CommandLine Understand(List<string> words, string? configFile, List<Setting> settings, bool json, bool help, string? error)
    {
        var length = words is ["config", not null, ..] ? 2 : Math.Min(1, words.Count);
        var verb = string.Join(' ', words.Take(length));
        if (verb.Length == 0 || verb == "config")
        {
            return new CommandLine("help", [], configFile, settings, json, Help: true, error ?? (help ? null : "say what to do"));
        }

        if (!Verbs.Contains(verb, StringComparer.Ordinal))
        {
            var nearest = NearestName.Of(verb, Verbs);
            error ??= $"there is no command {verb}" + (nearest is null ? "" : $"; did you mean {nearest}?");
        }

        var arguments = words.Skip(length).ToList();
        var (minimum, maximum) = verb switch { "config check" => (1, 1), "config explain" => (0, 1), "help" => (0, 2), _ => (0, 0) };
        if (!help && error is null && arguments.Count < minimum)
        {
            error = $"{verb} needs the path of a file";
        }
        else if (!help && error is null && arguments.Count > maximum)
        {
            error = $"{verb} takes nothing called {arguments[maximum]}";
        }

        return new CommandLine(verb, arguments, configFile, settings, json, help, error);
    }

    /// <summary>
    /// The configuration these flags, this environment and the file make together. Without <c>--config</c> the file is
    /// <c>$XDG_CONFIG_HOME/slipway/server.yaml</c> if it is there.
    /// </summary>
    public LoadedConfiguration Load(IReadOnlyDictionary<string, string> environment)
    {
        var file = ConfigFile;
        if (file is null)
        {
            var home = environment.GetValueOrDefault("XDG_CONFIG_HOME") is { Length: > 0 } configHome
                ? configHome
                : Path.Combine(environment.GetValueOrDefault("HOME") ?? "/", ".config");
            var standard = Path.Combine(home, "slipway", "server.yaml");
            file = File.Exists(standard) ? standard : null;
        }

        return ConfigurationLoader.Load(file, environment, Settings);
    }

    public const string Usage =
        """
        slipway up                      start the server in the foreground
        slipway config check FILE       check a configuration file
        slipway config show             the effective configuration, and where each value comes from
        slipway config explain [KEY]    what a key means, its default, range and current value

        Flags
          --http ADDRESS:PORT           where to serve HTTP (http.listen), 127.0.0.1:7474 unless given
          --grpc ADDRESS:PORT           where to serve gRPC (grpc.listen), 127.0.0.1:7475 unless given
          --data DIR                    data folder (data.folder), $XDG_DATA_HOME/slipway unless given
          --public-url URL              what clients reach the server by (http.publicUrl)
          --log-format FORMAT           auto, console or json (log.format)
          --log-level LEVEL             debug, info, warning or error (log.level)
          --set KEY=VALUE               any key; may be repeated
          --config FILE                 configuration, $XDG_CONFIG_HOME/slipway/server.yaml unless given
          --json                        config check, show and explain print JSON
          --help                        this page

        Each key can also be set by the environment: http.listen by SLIPWAY__HTTP__LISTEN. Flags win over the
        environment, the environment over the file. Put secrets (database.url, redis.url, otlp.headers) into the
        environment or the file: others on this machine can read command lines.
        """;
}
