namespace Slipway.Server.Configuration;

/// <summary>The value each key has in the end, and where it came from.</summary>
internal sealed class ConfigurationValues
{
    private readonly Dictionary<string, (object Value, Setting Setting)> values = [];
    private readonly Dictionary<string, (object Value, Setting Setting)> entries = [];

    public void Set(ConfigurationKey key, Setting setting, object value) => (key.IsTable ? entries : values)[key.IsTable ? setting.Key : key.Name] = (value, setting);

    public T Get<T>(ConfigurationKey<T> key) => values.TryGetValue(key.Name, out var found) ? (T)found.Value : key.DefaultValue;

    /// <summary>Somebody gave it a value.</summary>
    public bool Has(ConfigurationKey key) => values.ContainsKey(key.Name);

    public IReadOnlyDictionary<string, string> GetTable(TableKey key) =>
        entries.Where(entry => ConfigurationKeys.Find(entry.Key) == key)
            .ToDictionary(entry => entry.Key[(key.Name.Length + 1)..], entry => (string)entry.Value.Value, StringComparer.OrdinalIgnoreCase);

    /// <summary>What <c>config show</c> prints: every key, and every entry of a table, secrets masked.</summary>
    public IEnumerable<EffectiveValue> Show()
    {
        foreach (var key in ConfigurationKeys.All)
        {
            if (!key.IsTable)
            {
                yield return values.TryGetValue(key.Name, out var found)
                    ? new EffectiveValue(key.Name, key.Show(found.Setting.Text), found.Setting.Origin.Name, IsDefault: false)
                    : new EffectiveValue(key.Name, key.Default ?? "", Origin.Default.Name, IsDefault: true);
                continue;
            }

            var any = false;
            foreach (var entry in entries.Where(entry => ConfigurationKeys.Find(entry.Key) == key).OrderBy(entry => entry.Key, StringComparer.Ordinal))
            {
                any = true;
                yield return new EffectiveValue(entry.Key, key.Show(entry.Value.Setting.Text), entry.Value.Setting.Origin.Name, IsDefault: false);
            }

            if (!any)
            {
                yield return new EffectiveValue(key.Name, key.Default ?? "", Origin.Default.Name, IsDefault: true);
            }
        }
    }

    public ConfigurationFault FaultOf(ConfigurationKey key, string reason, string cure)
    {
        var found = values.TryGetValue(key.Name, out var value) ? value.Setting : new Setting(key.Name, key.Default ?? "", Origin.Default);
        return new ConfigurationFault(key.Name, key.Show(found.Text), found.Origin.Name, reason, cure);
    }
}

/// <summary>One line of <c>config show</c>. <paramref name="Value"/> is masked for secrets.</summary>
internal sealed record EffectiveValue(string Key, string Value, string Origin, bool IsDefault);
