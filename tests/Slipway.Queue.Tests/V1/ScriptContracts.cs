using Slipway.Queue.V1;
using System.Text.RegularExpressions;
using Slipway.Resp;

namespace Slipway.QueueV1.Tests;

/// <summary>What a reader, a cluster and a managed Redis ask of every script.</summary>
public sealed partial class ScriptContracts
{
    public static TheoryData<string> Names =>
        [.. typeof(WorkQueue).Assembly.GetManifestResourceNames().Where(name => name.EndsWith(".lua", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_script_states_its_contract(string name)
    {
        string head = string.Join('\n', Read(name).Split('\n').TakeWhile(line => line.StartsWith('#') || line.StartsWith("--", StringComparison.Ordinal)));

        head.ShouldStartWith("#!lua");
        head.ShouldContain("-- KEYS  1 ");
        head.ShouldContain("-- Returns  ");
        head.ShouldContain("-- O(");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_script_touches_declared_keys_only_and_declares_no_other(string name)
    {
        string text = Read(name);
        int declared = KeyNumbers().Matches(Regex.Match(text, "-- KEYS(.*)").Value).Count;

        foreach (Match call in Calls().Matches(text))
        {
            if (call.Groups["command"].Value is not ("TIME" or "PUBLISH"))
            {
                call.Groups["first"].Value.ShouldStartWith("KEYS[", customMessage: call.Value);
            }
        }

        int[] used = [.. Regex.Matches(text, @"KEYS\[(\d+)\]").Select(match => int.Parse(match.Groups[1].ValueSpan)).Distinct()];
        used.Max().ShouldBeLessThanOrEqualTo(declared);
    }

    [Fact]
    public void Every_script_is_one_of_the_known_transitions() =>
        typeof(QueueScripts).GetFields().Select(field => ((RespScript)field.GetValue(null)!).Name + ".lua").ShouldBe(Names.Select(row => row.Data), ignoreOrder: true);

    private static string Read(string name)
    {
        using var reader = new StreamReader(typeof(WorkQueue).Assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"redis\.call\('(?<command>[A-Z]+)'(, (?<first>[^,)]+))?")]
    private static partial Regex Calls();

    [GeneratedRegex(@"\d+ \w+")]
    private static partial Regex KeyNumbers();
}
