using System.Text.Json;
using System.Text.Json.Serialization;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Contexts;

/// <summary>A server by name, and what to assume there.</summary>
internal sealed record SavedContext(string Url, string? User = null, string? Org = null);

internal sealed record SavedContexts(string? Current, SortedDictionary<string, SavedContext> Contexts);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(SavedContexts))]
[JsonSerializable(typeof(SortedDictionary<string, string>))]
internal sealed partial class ContextJson : JsonSerializerContext;

/// <summary>
/// The named contexts in <c>$XDG_CONFIG_HOME/slipway/contexts.json</c>, their tokens apart in <c>credentials.json</c> (0600): the
/// first may be shared or kept in version control, the second never.
/// </summary>
internal sealed class ContextFile(string folder)
{
    private readonly string contextsPath = Path.Combine(folder, "contexts.json");
    private readonly string credentialsPath = Path.Combine(folder, "credentials.json");

    public string FilePath => contextsPath;

    public SavedContexts Read() =>
        Load(contextsPath, ContextJson.Default.SavedContexts) ?? new SavedContexts(null, []);

    public string? TokenOf(string context) =>
        Load(credentialsPath, ContextJson.Default.SortedDictionaryStringString)?.GetValueOrDefault(context);

    /// <summary>Stores a context and makes it the current one. A null token leaves the stored one.</summary>
    public void Save(string name, SavedContext context, string? token)
    {
        var saved = Read();
        saved.Contexts[name] = context;
        if (token is not null)
        {
            SaveTokens(tokens => tokens[name] = token);
        }

        Write(saved with { Current = name });
    }

    public void Use(string name) => Write(Read() with { Current = name });

    public void ForgetToken(string name) => SaveTokens(tokens => tokens.Remove(name));

    public void Delete(string name)
    {
        var saved = Read();
        saved.Contexts.Remove(name);
        ForgetToken(name);
        Write(saved with { Current = saved.Current == name ? saved.Contexts.Keys.FirstOrDefault() : saved.Current });
    }

    private void Write(SavedContexts saved) =>
        AtomicFile.Write(contextsPath, JsonSerializer.Serialize(saved, ContextJson.Default.SavedContexts) + "\n", AtomicFile.Private);

    private void SaveTokens(Action<SortedDictionary<string, string>> change)
    {
        var tokens = Load(credentialsPath, ContextJson.Default.SortedDictionaryStringString) ?? [];
        change(tokens);
        AtomicFile.Write(credentialsPath, JsonSerializer.Serialize(tokens, ContextJson.Default.SortedDictionaryStringString) + "\n", AtomicFile.Private);
    }

    private static T? Load<T>(string path, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
        where T : class
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            using var file = File.OpenRead(path);
            return JsonSerializer.Deserialize(file, type);
        }
        catch (JsonException exception)
        {
            throw new CliFailure(ExitCodes.Failed, "context_file", $"{path} is not what slipway wrote")
            {
                Cause = exception.Message,
                Try = [$"mend the file, or remove it and sign in again: rm {path}"],
            };
        }
    }
}
