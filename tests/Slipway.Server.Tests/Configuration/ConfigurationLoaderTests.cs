using Shouldly;
using Slipway.Server.Configuration;
using Xunit;

namespace Slipway.Server.Tests.Configuration;

public sealed class ConfigurationLoaderTests
{
    private static readonly Dictionary<string, string> NoEnvironment = [];

    private static LoadedConfiguration LoadYaml(string yaml, Dictionary<string, string>? environment = null, params Setting[] flags)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, yaml);
            return ConfigurationLoader.Load(path, environment ?? NoEnvironment, flags);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static Setting Flag(string key, string text) => new(key, text, new Origin(OriginKind.Flag, "--set"));

    [Fact]
    public void Nothing_given_means_every_default_and_no_fault()
    {
        var loaded = ConfigurationLoader.Load(null, NoEnvironment, []);

        loaded.Faults.ShouldBeEmpty();
        loaded.Configuration.Http.Listen.ToString().ShouldBe("127.0.0.1:7474");
        loaded.Configuration.Limits.NarBytes.ShouldBe(64L << 30);
        loaded.Values.Show().ShouldAllBe(value => value.IsDefault);
    }

    [Fact]
    public void Flags_win_over_environment_and_environment_over_file()
    {
        var environment = new Dictionary<string, string> { ["SLIPWAY__HTTP__LISTEN"] = "127.0.0.1:2", ["SLIPWAY__DRAIN__SECONDS"] = "5" };

        var loaded = LoadYaml("http:\n  listen: 127.0.0.1:1\ndrain:\n  seconds: 4\nlog:\n  level: debug\n", environment, Flag("http.listen", "127.0.0.1:3"));

        loaded.Faults.ShouldBeEmpty();
        loaded.Configuration.Http.Listen.Port.ShouldBe(3);
        loaded.Configuration.Drain.Seconds.ShouldBe(TimeSpan.FromSeconds(5));
        var shown = loaded.Values.Show().ToDictionary(value => value.Key);
        shown["http.listen"].Origin.ShouldBe("--set");
        shown["drain.seconds"].Origin.ShouldBe("SLIPWAY__DRAIN__SECONDS");
        shown["log.level"].Origin.ShouldEndWith(":6");
        shown["data.folder"].Origin.ShouldBe("default");
    }

    [Fact]
    public void All_faults_are_reported_at_once_with_key_value_place_reason_and_cure()
    {
        var environment = new Dictionary<string, string> { ["SLIPWAY__HTTP__LISTN"] = "x", ["SLIPWAY__LIMITS__CONNECTIONS"] = "9" };

        var faults = LoadYaml(
            """
            http:
              listn: 127.0.0.1:1
              listen: somewhere
              listen: 127.0.0.1:2
            log: loud
            limits:
              narBytes: 1 apple
              requestBytes: 9999999999999999999999
              concurrentIngests: [1, 2]
            database:
              url:
            drain:
              seconds: 3601
            """,
            environment,
            Flag("log.format", "xml")).Faults;

        var byPlace = faults.Select(fault => (fault.Key, Line: fault.Origin.Split(':')[^1])).ToList();
        byPlace.ShouldBe(
            [
                ("http.listn", "2"), ("http.listen", "3"), ("http.listen", "4"), ("log", "5"), ("limits.narBytes", "7"), ("limits.requestBytes", "8"),
                ("limits.concurrentIngests", "9"), ("database.url", "11"), ("drain.seconds", "13"),
                ("SLIPWAY__HTTP__LISTN", "SLIPWAY__HTTP__LISTN"), ("limits.connections", "SLIPWAY__LIMITS__CONNECTIONS"), ("log.format", "--set"),
            ],
            ignoreOrder: true);
        faults.ShouldAllBe(fault => fault.Reason.Length > 5 && fault.Cure.Length > 5);
        faults.First(fault => fault.Key == "http.listn").Cure.ShouldBe("did you mean http.listen?");
        faults.First(fault => fault.Key == "SLIPWAY__HTTP__LISTN").Cure.ShouldBe("did you mean SLIPWAY__HTTP__LISTEN?");
        faults.First(fault => fault.Key == "limits.narBytes").Value.ShouldBe("1 apple");
        faults.First(fault => fault.Key == "log.format").Cure.ShouldBe("give one of auto, console, json");
    }

    [Theory]
    [InlineData("database:\n  url: hunter2-is-no-url\n")]
    [InlineData("databse:\n  url: postgres://u:hunter2@h/d\n")]
    [InlineData("redis:\n  url: hunter2\n")]
    [InlineData("otlp:\n  headers: hunter2\n")]
    [InlineData("database:\n  url: \"hunter2\n")]
    [InlineData("database:\n  url: {hunter2: 1}\n")]
    [InlineData("somewhere:\n  else: hunter2\n")]
    public void Secrets_never_show_in_faults(string yaml)
    {
        var faults = LoadYaml(yaml).Faults;

        faults.ShouldNotBeEmpty();
        faults.ShouldAllBe(fault => !$"{fault.Value}{fault.Reason}{fault.Cure}".Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public void Secrets_never_show_in_effective_values()
    {
        var loaded = LoadYaml("database:\n  url: postgres://u:hunter2@h/d\n");

        loaded.Faults.ShouldBeEmpty();
        loaded.Configuration.Database.Url.ShouldBe("postgres://u:hunter2@h/d");
        loaded.Values.Show().Single(value => value.Key == "database.url").Value.ShouldBe(ConfigurationKey.Mask);
    }

    [Theory]
    [InlineData("- a\n- b\n")]
    [InlineData("just words\n")]
    [InlineData("http: &anchor\n  listen: 127.0.0.1:1\n")]
    [InlineData("http:\n  listen: *anchor\n")]
    [InlineData("http:\n  listen: !!int 3\n")]
    [InlineData("? [a]\n: b\n")]
    [InlineData("http:\n\tlisten: 1\n")]
    [InlineData("a: {b: {c: {d: {e: {f: {g: {h: {i: {j: 1}}}}}}}}}\n")]
    [InlineData("http: {}\n---\nhttp: {}\n")]
    public void Yaml_that_is_no_tree_of_plain_values_is_a_fault_with_a_line(string yaml)
    {
        var faults = LoadYaml(yaml).Faults;

        faults.ShouldNotBeEmpty();
        faults.Count(fault => char.IsAsciiDigit(fault.Origin.Last())).ShouldBePositive();
    }

    [Theory]
    [InlineData("")]
    [InlineData("# nothing\n")]
    [InlineData("http:\n  # listen: 127.0.0.1:1\n")]
    [InlineData("http: {}\nnix:\n  hosts:\n")]
    public void Empty_files_and_sections_are_fine(string yaml) => LoadYaml(yaml).Faults.ShouldBeEmpty();

    [Fact]
    public void A_file_that_is_not_there_is_a_fault()
    {
        var loaded = ConfigurationLoader.Load("/nowhere/server.yaml", NoEnvironment, []);

        loaded.Faults.ShouldHaveSingleItem().Reason.ShouldBe("there is no such file");
    }

    [Fact]
    public void Hosts_are_a_table_whose_entries_come_from_anywhere()
    {
        var environment = new Dictionary<string, string> { ["SLIPWAY__NIX__HOSTS"] = "b.example=acme/b, c.example=acme/c" };

        var loaded = LoadYaml("nix:\n  hosts:\n    a.example: acme/a\n    b.example: acme/old\n", environment, Flag("nix.hosts.d.example", "acme/d"));

        loaded.Faults.ShouldBeEmpty();
        loaded.Configuration.Nix.Hosts.OrderBy(host => host.Key, StringComparer.Ordinal).Select(host => $"{host.Key}={host.Value}")
            .ShouldBe(["a.example=acme/a", "b.example=acme/b", "c.example=acme/c", "d.example=acme/d"]);
    }

    [Theory]
    [InlineData("nix.hosts.a b", "acme/main")]
    [InlineData("nix.hosts.a.example", "acme")]
    [InlineData("nix.hosts.a.example", "acme/main/more")]
    [InlineData("nix.hosts", "a.example")]
    [InlineData("http.listen", "7474")]
    [InlineData("http.listen", "127.0.0.1:65536")]
    [InlineData("http.listen", "::1:80")]
    [InlineData("http.listen", "localhost:0")]
    [InlineData("http.publicUrl", "ftp://x")]
    [InlineData("http.publicUrl", "https://user:pw@x/")]
    [InlineData("limits.narBytes", "-1")]
    [InlineData("limits.narBytes", "17 TiB")]
    [InlineData("sessions.lifetime", "90")]
    [InlineData("sessions.lifetime", "367d")]
    [InlineData("keys.defaultLifetime", "367d")]
    [InlineData("drain.seconds", "30s")]
    [InlineData("redis.url", "http://x")]
    [InlineData("database.url", "postgres://host")]
    [InlineData("otlp.headers", "a=b")]
    public void Bad_values_are_faults(string key, string value) =>
        ConfigurationLoader.Load(null, NoEnvironment, [Flag(key, value)]).Faults.ShouldHaveSingleItem().Key.ShouldStartWith(key);

    [Theory]
    [InlineData("http.listen", "[::1]:80")]
    [InlineData("http.listen", "0.0.0.0:0")]
    [InlineData("limits.narBytes", "1_000 GiB", "limits.archiveBytes=2 TiB")]
    [InlineData("limits.narBytes", "1048576")]
    [InlineData("sessions.lifetime", "12h")]
    [InlineData("redis.url", "unix:///run/redis.sock")]
    [InlineData("redis.allowEviction", "true")]
    [InlineData("metrics.queues", "acme/mail, acme/sms")]
    [InlineData("limits.queueBytes", "2 GiB")]
    [InlineData("database.url", "Host=/run/postgresql;Database=slipway")]
    public void Good_values_are_taken(string key, string value, string? also = null) =>
        ConfigurationLoader.Load(null, NoEnvironment, [Flag(key, value), .. also is null ? [] : new[] { Flag(also.Split('=')[0], also.Split('=')[1]) }]).Faults.ShouldBeEmpty();

    [Fact]
    public void Every_default_is_inside_its_own_range()
    {
        foreach (var key in ConfigurationKeys.All.Where(key => key.Range is not null))
        {
            key.Parse(new Setting(key.Name, key.Default!, Origin.Default)).Value.ShouldNotBeNull($"{key.Name}: {key.Default}");
        }
    }

    [Fact]
    public void Bucket_is_taken_whole_and_its_secret_is_masked()
    {
        var loaded = LoadYaml("""
            content:
              s3:
                endpoint: https://account.r2.cloudflarestorage.com
                bucket: builds
                prefix: slipway/
                region: auto
                accessKey: AKID
                localBytes: 0B
            """, new() { ["SLIPWAY__CONTENT__S3__SECRETKEY"] = "very-secret" });

        loaded.Faults.ShouldBeEmpty();
        var s3 = loaded.Configuration.Content.S3.ShouldNotBeNull();
        (s3.SecretKey, s3.Region, s3.LocalBytes, s3.PathStyle).ShouldBe(("very-secret", "auto", 0L, true));
        s3.ToString().ShouldBe("https://account.r2.cloudflarestorage.com/builds/slipway/");
        loaded.Values.Show().ShouldNotContain(value => value.Value.Contains("very-secret", StringComparison.Ordinal));
        loaded.Values.Show().Single(value => value.Key == "content.s3.secretKey").Value.ShouldBe(ConfigurationKey.Mask);
    }

    [Theory]
    [InlineData("content.s3.endpoint=https://s3.example.org", "content.s3.bucket content.s3.accessKey content.s3.secretKey")]
    [InlineData("content.s3.bucket=builds", "content.s3.bucket")]
    [InlineData("content.s3.endpoint=https://s3.example.org/builds", "content.s3.endpoint")]
    [InlineData("content.s3.bucket=My_Bucket", "content.s3.bucket")]
    [InlineData("content.s3.prefix=/slipway", "content.s3.prefix")]
    [InlineData("content.s3.secretKeyFile=/nowhere/at/all", "content.s3.secretKeyFile")]
    public void Half_a_bucket_is_a_fault_for_every_key_that_is_wrong_or_missing(string given, string faulty)
    {
        var equals = given.IndexOf('=', StringComparison.Ordinal);

        var faults = ConfigurationLoader.Load(null, NoEnvironment, [Flag(given[..equals], given[(equals + 1)..])]).Faults;

        faults.Select(fault => fault.Key).ShouldBe(faulty.Split(' '), ignoreOrder: true);
    }
}
