using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Slipway.Server.Configuration;

namespace Slipway.Server.Commands;

/// <summary><c>config check</c>, <c>config show</c> and <c>config explain</c>.</summary>
internal static class ConfigCommands
{
    /// <summary>The exit code of a configuration that can't be used.</summary>
    public const int Faulty = 2;

    public static int Check(CommandLine command, Terminal output, Terminal error)
    {
        List<Setting> settings = [];
        List<ConfigurationFault> faults = [];
        YamlFile.Read(command.Arguments[0], settings, faults);
        var loaded = ConfigurationLoader.Check(settings, faults);
        if (command.Json)
        {
            output.Line(JsonSerializer.Serialize(new CheckResult(loaded.Faults.Count == 0, loaded.Faults), ConfigJson.Plain.CheckResult));
        }
        else if (loaded.Faults.Count == 0)
        {
            output.Line($"{output.Green("ok")}  {command.Arguments[0]} sets {settings.Count} {(settings.Count == 1 ? "key" : "keys")}");
        }

        return loaded.Faults.Count == 0 ? 0 : Refuse(loaded.Faults, command.Json ? null : error);
    }

    public static int Show(CommandLine command, LoadedConfiguration loaded, Terminal output, Terminal error)
    {
        if (loaded.Faults.Count > 0)
        {
            return Refuse(loaded.Faults, error);
        }

        var values = loaded.Values.Show().ToList();
        if (command.Json)
        {
            output.Line(JsonSerializer.Serialize(values, ConfigJson.Plain.ListEffectiveValue));
            return 0;
        }

        var keyWidth = values.Max(value => value.Key.Length);
        // Long words in a default must not push the origins of all others off the screen.
        var valueWidth = Math.Min(36, values.Max(value => value.Value.Length));
        foreach (var value in values)
        {
            output.Line($"{value.Key.PadRight(keyWidth)}  {value.Value.PadRight(valueWidth)}  {output.Dim(value.Origin)}");
        }

        return 0;
    }

    public static int Explain(CommandLine command, LoadedConfiguration loaded, Terminal output, Terminal error)
    {
        if (command.Arguments.Count == 0)
        {
            var width = ConfigurationKeys.All.Max(key => key.Name.Length);
            foreach (var listed in ConfigurationKeys.All)
            {
                output.Line($"{output.Bold(listed.Name.PadRight(width))}  {listed.Description}");
            }

            return 0;
        }

        var name = command.Arguments[0];
        var key = ConfigurationKeys.All.FirstOrDefault(key => key.Name == name || key.EnvironmentName.Equals(name, StringComparison.OrdinalIgnoreCase)) ?? ConfigurationKeys.Find(name);
        if (key is null)
        {
            var nearest = NearestName.Of(name, ConfigurationKeys.All.Select(key => key.Name));
            error.Line($"{error.Red("error")}  there is no key {name}" + (nearest is null ? "; slipway config explain lists them" : $"; did you mean {nearest}?"));
            return Faulty;
        }

        // A file with faults elsewhere must not keep anyone from reading what a key means.
        var current = loaded.Values.Show().Where(value => ConfigurationKeys.Find(value.Key) == key).ToList();
        if (command.Json)
        {
            var explained = new Explained(key.Name, key.Type, key.Default, key.Range, key.EnvironmentName, key.IsSecret, key.Description, current);
            output.Line(JsonSerializer.Serialize(explained, ConfigJson.Plain.Explained));
            return 0;
        }

        output.Line($"{output.Bold(key.Name)}{(key.IsSecret ? output.Dim("  (secret)") : "")}");
        output.Line($"  {key.Description}");
        output.Line();
        output.Line($"  type         {key.Type}");
        output.Line($"  default      {key.Default ?? "none"}");
        output.Line($"  range        {key.Range ?? "any"}");
        output.Line($"  environment  {key.EnvironmentName}");
        foreach (var value in current)
        {
            output.Line($"  now          {(key.IsTable && !value.IsDefault ? $"{value.Key[(key.Name.Length + 1)..]}: " : "")}{value.Value}  {output.Dim($"({value.Origin})")}");
        }

        return 0;
    }

    /// <summary>Prints every fault; the exit code.</summary>
    public static int Refuse(IReadOnlyList<ConfigurationFault> faults, Terminal? error)
    {
        if (error is null)
        {
            return Faulty;
        }

        error.Line($"{error.Red("error")}  the configuration has {(faults.Count == 1 ? "a fault" : $"{faults.Count} faults")}");
        foreach (var fault in faults)
        {
            error.Line();
            error.Line($"  {error.Bold(fault.Key)}{(fault.Value is null ? "" : $" = {Quote(fault.Value)}")}  {error.Dim(fault.Origin)}");
            error.Line($"    {fault.Reason}");
            error.Line($"    {error.Cyan("→")} {fault.Cure}");
        }

        return Faulty;
    }

    // A value is somebody's input: control characters in it must not reach the terminal.
    private static string Quote(string value) =>
        '"' + string.Concat((value.Length > 120 ? value[..120] + "…" : value).Select(character => char.IsControl(character) ? '�' : character)) + '"';
}

internal sealed record CheckResult(bool Ok, IReadOnlyList<ConfigurationFault> Faults);

internal sealed record Explained(
    string Key, string Type, string? Default, string? Range, string Environment, bool Secret, string Description, IReadOnlyList<EffectiveValue> Current);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true)]
[JsonSerializable(typeof(CheckResult))]
[JsonSerializable(typeof(Explained))]
[JsonSerializable(typeof(List<EffectiveValue>))]
internal sealed partial class ConfigJson : JsonSerializerContext
{
    // Read by people in terminals: < and é as they are. It never ends up in HTML.
    public static ConfigJson Plain { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web) { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
