namespace Slipway.Server.Configuration;

/// <summary>
/// File, then environment, then flags; each wins over the one before. Collects every fault instead of stopping at the first, because
/// a start that fails ten times for ten typos is ten restarts.
/// </summary>
internal static class ConfigurationLoader
{
    /// <param name="file">Null: none.</param>
    /// <param name="environment">All variables of the process.</param>
    /// <param name="flags">Settings given on the command line.</param>
    public static LoadedConfiguration Load(string? file, IReadOnlyDictionary<string, string> environment, IReadOnlyList<Setting> flags)
    {
        List<Setting> settings = [];
        List<ConfigurationFault> faults = [];
        if (file is not null)
        {
            YamlFile.Read(file, settings, faults);
        }

        ReadEnvironment(environment, settings);
        settings.AddRange(flags);
        return Check(settings, faults);
    }

    /// <summary>Checks settings from anywhere, weakest first.</summary>
    public static LoadedConfiguration Check(IReadOnlyList<Setting> settings, List<ConfigurationFault> faults)
    {
        var values = new ConfigurationValues();
        Dictionary<(OriginKind, string), Setting> seen = [];
        foreach (var setting in settings.SelectMany(Expand))
        {
            if (ConfigurationKeys.Find(setting.Key) is not { } key || (key.IsTable && setting.Key == key.Name))
            {
                faults.Add(Unknown(setting));
                continue;
            }

            if (!seen.TryAdd((setting.Origin.Kind, setting.Key), setting))
            {
                faults.Add(new ConfigurationFault(
                    setting.Key, key.Show(setting.Text), setting.Origin.Name, $"is already given by {seen[(setting.Origin.Kind, setting.Key)].Origin.Name}", "keep one of the two"));
                continue;
            }

            var parsed = key.Parse(setting);
            if (parsed.Value is null)
            {
                faults.Add(new ConfigurationFault(setting.Key, key.Show(setting.Text), setting.Origin.Name, parsed.Reason!, parsed.Cure!));
                continue;
            }

            values.Set(key, setting, parsed.Value);
        }

        faults.AddRange(ConfigurationKeys.FindContradictions(values));
        return new LoadedConfiguration(ConfigurationKeys.Build(values), values, faults);
    }

    private static void ReadEnvironment(IReadOnlyDictionary<string, string> environment, List<Setting> settings)
    {
        foreach (var (name, value) in environment.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            if (!name.StartsWith(ConfigurationKey.EnvironmentPrefix, StringComparison.Ordinal))
            {
                continue;
            }

            var key = ConfigurationKeys.All.FirstOrDefault(key => key.EnvironmentName.Equals(name, StringComparison.OrdinalIgnoreCase));
            settings.Add(new Setting(key?.Name ?? name, value, new Origin(OriginKind.Environment, name)));
        }
    }

    /// <summary>A table on one line, <c>name=value,name=value</c> (environment, flag), is as many settings.</summary>
    private static IEnumerable<Setting> Expand(Setting setting)
    {
        if (ConfigurationKeys.Find(setting.Key) is not { IsTable: true } table || table.Name != setting.Key)
        {
            yield return setting;
            yield break;
        }

        foreach (var pair in setting.Text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            yield return new Setting($"{table.Name}.{(equals < 0 ? pair : pair[..equals])}", equals < 0 ? "" : pair[(equals + 1)..], setting.Origin);
        }
    }

    private static ConfigurationFault Unknown(Setting setting)
    {
        var isVariable = setting.Origin.Kind == OriginKind.Environment;
        var nearest = NearestName.Of(setting.Key, ConfigurationKeys.All.Select(key => isVariable ? key.EnvironmentName : key.Name));
        var meant = ConfigurationKeys.All.FirstOrDefault(key => (isVariable ? key.EnvironmentName : key.Name) == nearest);

        // A misspelt secret is a secret still; what nobody knows may be one.
        var value = meant is { IsSecret: false } ? setting.Text : ConfigurationKey.Mask;
        var inside = ConfigurationKeys.All.FirstOrDefault(key => setting.Key.StartsWith(key.Name + ".", StringComparison.Ordinal));
        return inside is not null
            ? new ConfigurationFault(setting.Key, inside.Show(setting.Text), setting.Origin.Name, $"{inside.Name} takes a value, not a section", $"write {inside.Name}: {inside.Type}")
            : new ConfigurationFault(
                setting.Key,
                value,
                setting.Origin.Name,
                isVariable ? "there is no such variable" : "there is no such key",
                nearest is null ? "see slipway config show for all keys" : $"did you mean {nearest}?");
    }
}

/// <summary>The configuration, usable only when <paramref name="Faults"/> is empty.</summary>
internal sealed record LoadedConfiguration(ServerConfiguration Configuration, ConfigurationValues Values, IReadOnlyList<ConfigurationFault> Faults);
