using System.Text;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Slipway.Server.Configuration;

/// <summary>
/// Reads a YAML file into settings with their lines. Works on the parser's events, because an object model would stop at the first
/// duplicate key and forget the lines.
/// </summary>
internal static class YamlFile
{
    // A configuration of ours is some 100 lines. The limit keeps a wrong path (a disk image, /dev/zero) from filling memory.
    private const int MaxBytes = 1 << 20;

    // The tree is three levels deep; a file that nests deeper is not ours, and recursion must end somewhere.
    private const int MaxDepth = 8;

    public static void Read(string path, List<Setting> settings, List<ConfigurationFault> faults)
    {
        string text;
        try
        {
            using var file = File.OpenRead(path);
            var buffer = new byte[MaxBytes + 1];
            var length = file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            if (length > MaxBytes)
            {
                faults.Add(new ConfigurationFault("(file)", null, path, "is larger than 1 MiB", "give the path of a configuration file"));
                return;
            }

            text = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true).GetString(buffer, 0, length);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or DecoderFallbackException or ArgumentException)
        {
            var reason = fault switch
            {
                FileNotFoundException or DirectoryNotFoundException => "there is no such file",
                UnauthorizedAccessException => "can't be read by this user",
                DecoderFallbackException => "is not UTF-8 text",
                _ => "can't be read: " + fault.Message,
            };
            faults.Add(new ConfigurationFault("(file)", null, path, reason, "give the path of a readable YAML file with --config"));
            return;
        }

        Parse(text, path, settings, faults);
    }

    public static void Parse(string text, string name, List<Setting> settings, List<ConfigurationFault> faults)
    {
        try
        {
            var parser = new Parser(new StringReader(text));
            parser.Consume<StreamStart>();
            if (parser.Accept<StreamEnd>(out _))
            {
                return;
            }

            parser.Consume<DocumentStart>();
            ReadNode(parser, "", new Reading(name, settings, faults, []), depth: 0);
            parser.Consume<DocumentEnd>();
            if (!parser.Accept<StreamEnd>(out _))
            {
                faults.Add(new ConfigurationFault("(file)", null, $"{name}:{parser.Current?.Start.Line}", "holds a second document", "remove the --- line and what follows"));
            }
        }
        catch (YamlException fault)
        {
            // Only the first line: the rest of the message may quote the text around it, secrets included.
            faults.Add(new ConfigurationFault("(file)", null, $"{name}:{fault.Start.Line}", "is not YAML from here on", "check indentation, colons and quotes on this line and the one above"));
        }
    }

    private static void ReadNode(Parser parser, string path, Reading reading, int depth)
    {
        var line = parser.Current!.Start.Line;
        var at = $"{reading.Name}:{line}";
        if (parser.Current is NodeEvent node && (!node.Anchor.IsEmpty || (!node.Tag.IsEmpty && !node.Tag.IsNonSpecific)))
        {
            reading.Faults.Add(new ConfigurationFault(path.Length == 0 ? "(file)" : path, null, at, "uses an anchor or a tag, which are not read here", "write the plain value"));
        }

        switch (parser.Current)
        {
            case Scalar scalar:
                parser.MoveNext();
                ReadScalar(scalar, path, at, reading);
                break;
            case MappingStart when depth < MaxDepth:
                parser.MoveNext();
                ReadMapping(parser, path, reading, depth);
                break;
            case AnchorAlias:
                parser.MoveNext();
                reading.Faults.Add(new ConfigurationFault(path, null, at, "is an alias, which is not read here", "write the plain value"));
                break;
            default:
                reading.Faults.Add(new ConfigurationFault(
                    path.Length == 0 ? "(file)" : path, null, at, depth >= MaxDepth ? "is nested too deep" : "is a list", "write key: value lines"));
                parser.SkipThisAndNestedEvents();
                break;
        }
    }

    private static void ReadMapping(Parser parser, string path, Reading reading, int depth)
    {
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            if (!parser.TryConsume<Scalar>(out var key))
            {
                reading.Faults.Add(new ConfigurationFault(
                    path.Length == 0 ? "(file)" : path, null, $"{reading.Name}:{parser.Current?.Start.Line}", "has a key that is not a plain word", "write key: value lines"));
                parser.SkipThisAndNestedEvents();
                parser.SkipThisAndNestedEvents();
                continue;
            }

            var child = path.Length == 0 ? key.Value : $"{path}.{key.Value}";
            var line = key.Start.Line;
            if (!reading.FirstLines.TryAdd(child, (int)line))
            {
                reading.Faults.Add(new ConfigurationFault(child, null, $"{reading.Name}:{line}", $"is already given in line {reading.FirstLines[child]}", "keep one of the two"));
                parser.SkipThisAndNestedEvents();
                continue;
            }

            ReadNode(parser, child, reading, depth + 1);
        }
    }

    private static void ReadScalar(Scalar scalar, string path, string at, Reading reading)
    {
        var isNull = scalar.Style == ScalarStyle.Plain && scalar.Value is "" or "~" or "null";
        if (path.Length == 0)
        {
            if (!isNull)
            {
                reading.Faults.Add(new ConfigurationFault("(file)", null, at, "holds no keys", "write key: value lines, such as http:\n  listen: 127.0.0.1:7474"));
            }
        }
        else if (ConfigurationKeys.IsSection(path))
        {
            // "http:" with everything below it commented out is fine.
            if (!isNull)
            {
                reading.Faults.Add(new ConfigurationFault(path, null, at, "is a section, not a value", $"put keys below it: {Below(path)}"));
            }
        }
        else if (isNull && ConfigurationKeys.Find(path) is not null)
        {
            reading.Faults.Add(new ConfigurationFault(path, null, at, "has no value", "give one, or remove the line to get the default"));
        }
        else
        {
            reading.Settings.Add(new Setting(path, scalar.Value, new Origin(OriginKind.File, at)));
        }
    }

    private static string Below(string section) => string.Join(
        ", ",
        ConfigurationKeys.All.Where(key => key.Name.StartsWith(section + ".", StringComparison.Ordinal)).Select(key => key.Name[(section.Length + 1)..]) is var keys && keys.Any()
            ? keys
            : ["NAME: VALUE"]);

    private sealed record Reading(string Name, List<Setting> Settings, List<ConfigurationFault> Faults, Dictionary<string, int> FirstLines);
}
