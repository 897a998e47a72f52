namespace Slipway.Server.Configuration;

/// <summary>
/// One thing that can be set: its name in the file, what it may hold, and the words for <c>config explain</c>.
/// </summary>
/// <param name="Name">Dotted, as in the file: <c>http.listen</c>.</param>
/// <param name="Type">What a value looks like, in words.</param>
/// <param name="Default">The default in words; null when there is none.</param>
/// <param name="Range">Null when any value of the type will do.</param>
/// <param name="IsSecret">Its value is never printed.</param>
internal abstract record ConfigurationKey(string Name, string Type, string? Default, string? Range, string Description, bool IsSecret)
{
    /// <summary>
    /// What stands instead of a secret. Fixed, so that not even the length shows.
    /// </summary>
    public const string Mask = "********";

    public const string EnvironmentPrefix = "SLIPWAY__";

    /// <summary><c>SLIPWAY__HTTP__LISTEN</c>.</summary>
    public string EnvironmentName => EnvironmentPrefix + Name.ToUpperInvariant().Replace(".", "__", StringComparison.Ordinal);

    /// <summary>True for a key that holds a table of names and values, each set on its own.</summary>
    public virtual bool IsTable => false;

    /// <summary>Checks <paramref name="setting"/>, a value of this key from anywhere.</summary>
    public abstract ParsedValue Parse(Setting setting);

    public string Show(string text) => IsSecret ? Mask : text;
}

/// <summary>A key whose value is a <typeparamref name="T"/>.</summary>
internal sealed record ConfigurationKey<T>(
    string Name,
    string Type,
    string? Default,
    string? Range,
    string Description,
    bool IsSecret,
    T DefaultValue,
    Func<Setting, ParsedValue> Parser) : ConfigurationKey(Name, Type, Default, Range, Description, IsSecret)
{
    public override ParsedValue Parse(Setting setting) => Parser(setting);
}

/// <summary>A key that holds a table: <c>nix.hosts</c> with an entry for each host name.</summary>
internal sealed record TableKey(
    string Name,
    string Type,
    string Description,
    Func<string, Setting, ParsedValue> Parser) : ConfigurationKey(Name, Type, "empty", null, Description, IsSecret: false)
{
    public override bool IsTable => true;

    /// <summary>Checks the value of <paramref name="setting"/>, whose key is this key's name, a dot and the entry's name.</summary>
    public override ParsedValue Parse(Setting setting) => Parser(setting.Key[(Name.Length + 1)..], setting);
}

/// <summary>Either a value or why there is none and what to do about it.</summary>
internal readonly record struct ParsedValue(object? Value, string? Reason, string? Cure)
{
    public static ParsedValue Ok(object value) => new(value, null, null);

    public static ParsedValue Bad(string reason, string cure) => new(null, reason, cure);
}

/// <summary>Where a setting came from. Later kinds win over earlier ones.</summary>
internal enum OriginKind
{
    Default,
    File,
    Environment,
    Flag,
}

/// <param name="Name"><c>server.yaml:3</c>, <c>SLIPWAY__HTTP__LISTEN</c> or <c>--http</c>.</param>
internal sealed record Origin(OriginKind Kind, string Name)
{
    public static Origin Default { get; } = new(OriginKind.Default, "default");
}

/// <summary>A value somebody gave, as text, before any check.</summary>
internal sealed record Setting(string Key, string Text, Origin Origin);

/// <summary>One thing wrong with the configuration, and how to put it right.</summary>
/// <param name="Value">Null when there is none to show; masked when it is or may be a secret.</param>
internal sealed record ConfigurationFault(string Key, string? Value, string Origin, string Reason, string Cure);
