using System.Text.RegularExpressions;
using Slipway.Resp;

namespace Slipway.Queue.Tests.Broker;

/// <summary>What a reader, a cluster and a managed Redis ask of every script.</summary>
public sealed partial class ScriptContracts
{
    private static readonly RespScript[] Scripts = [.. typeof(QueueScripts).GetFields().Select(field => (RespScript)field.GetValue(null)!)];

    public static TheoryData<string> Names => [.. Scripts.Select(script => script.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_script_states_its_contract(string name)
    {
        string head = string.Join('\n', TextOf(name).Split('\n').TakeWhile(line => line.StartsWith('#') || line.StartsWith("--", StringComparison.Ordinal)));

        head.ShouldStartWith("#!lua");
        head.ShouldContain("-- KEYS  ");
        head.ShouldContain("-- ARGV  ");
        head.ShouldContain("-- Returns  ");
        head.ShouldContain("-- O(");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_script_touches_declared_keys_only(string name)
    {
        string text = TextOf(name);
        foreach (Match call in Calls().Matches(text))
        {
            string command = call.Groups["command"].Value.Trim('\'');
            if (command is not ("TIME" or "PUBLISH"))
            {
                // Names that stand for a key: those of parts/keys.lua, and "key", a parameter that callers fill with one of them.
                call.Groups["first"].Value.ShouldMatch(@"^(KEYS\[|READY\[|key$|META$|TOTALS$|LEASES$|BLOCKS$|ACKED$|DELAYED$|LIMITS$|JOBS$|DEAD$|REASONS$|UNIQ$|EXPIRY$|BIG$|BATCHES$|WAITING$|PROD$|CRON$)", call.Value);
            }
        }

        // A part must not take a key's name for something else: Lua would let it, silently.
        Regex.Matches(text, @"^local (META|TOTALS|LEASES|BLOCKS|ACKED|DELAYED|LIMITS|JOBS|DEAD|REASONS|UNIQ|EXPIRY|BIG|BATCHES|WAITING|PROD|CRON)\b", RegexOptions.Multiline)
            .Count.ShouldBeLessThanOrEqualTo(2);
        Regex.Matches(text, @"\bBIG\b.*=").Count.ShouldBeLessThanOrEqualTo(1);
    }

    [Fact]
    public void Every_file_is_one_of_the_known_transitions() =>
        Scripts.Select(script => $"queue.{script.Name}.lua").ShouldBe(
            typeof(RedisBroker).Assembly.GetManifestResourceNames().Where(file => file.StartsWith("queue.", StringComparison.Ordinal) && !file.StartsWith("queue.parts.", StringComparison.Ordinal)),
            ignoreOrder: true);

    [Fact]
    public void What_frees_memory_runs_in_a_full_Redis_and_what_takes_it_does_not()
    {
        foreach (RespScript script in Scripts)
        {
            bool adds = script.Name is "limiter" or "enqueue" or "add" or "batch" or "redrive" or "configure";
            (script.Text.Contains("flags=allow-oom", StringComparison.Ordinal) || script.Name == "stats").ShouldBe(!adds, script.Name);
        }
    }

    private static string TextOf(string name) => Scripts.Single(script => script.Name == name).Text;

    [GeneratedRegex(@"redis\.call\((?<command>'[A-Z]+'|[^,]+)(, (?<first>[^,)]+))?")]
    private static partial Regex Calls();
}
