using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Slipway.Data;

/// <summary>One embedded <c>Migrations/0001_name.sql</c>.</summary>
/// <param name="Sha256">Of the file's bytes: how a file edited after it was applied is noticed.</param>
internal sealed partial record MigrationFile(int Number, string Name, string Sql, byte[] Sha256)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Number:D4}_{Name}.sql");

    /// <summary>The files of one assembly in number order. Numbers start at 1 and leave no gap: a gap is a file that was forgotten or lost in a merge.</summary>
    public static IReadOnlyList<MigrationFile> ReadAll(MigrationModule module) =>
        Check(module.Module, module.Assembly.GetManifestResourceNames().Select(name => (name, Read(module.Assembly, name))));

    internal static IReadOnlyList<MigrationFile> Check(string module, IEnumerable<(string ResourceName, byte[] Content)> resources)
    {
        var files = new List<MigrationFile>();
        foreach (var (resourceName, content) in resources)
        {
            if (!resourceName.EndsWith(".sql", StringComparison.OrdinalIgnoreCase) || !InMigrations().IsMatch(resourceName))
            {
                continue;
            }

            var match = FileName().Match(resourceName);
            if (!match.Success)
            {
                throw new MigrationException(
                    $"module '{module}': '{resourceName}' is not named like 0001_create_orgs.sql (four digits, underscore, lower-case words)");
            }

            var text = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true).GetString(content).TrimStart('\uFEFF');
            files.Add(new MigrationFile(int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture), match.Groups[2].Value, text, SHA256.HashData(content)));
        }

        files.Sort((left, right) => left.Number.CompareTo(right.Number));
        for (var i = 0; i < files.Count; i++)
        {
            if (files[i].Number != i + 1)
            {
                throw new MigrationException(
                    i > 0 && files[i].Number == files[i - 1].Number
                        ? $"module '{module}': {files[i - 1]} and {files[i]} have the same number; give the later one the next free number"
                        : string.Create(CultureInfo.InvariantCulture, $"module '{module}': migration {i + 1:D4} is missing before {files[i]}; numbers start at 0001 and leave no gap"));
            }
        }

        return files.Count > 0
            ? files
            : throw new MigrationException(
                $"module '{module}' has no embedded migrations; add <EmbeddedResource Include=\"Migrations/*.sql\" /> to its project");
    }

    private static byte[] Read(Assembly assembly, string name)
    {
        using var stream = assembly.GetManifestResourceStream(name)!;
        using var buffer = new MemoryStream();
        stream.CopyTo(buffer);
        return buffer.ToArray();
    }

    // The build joins folder and file by a dot; a LogicalName may keep the slash.
    [GeneratedRegex(@"(^|[./])Migrations[./]")]
    private static partial Regex InMigrations();

    [GeneratedRegex(@"[./](\d{4})_([a-z0-9_]+)\.sql$")]
    private static partial Regex FileName();
}
