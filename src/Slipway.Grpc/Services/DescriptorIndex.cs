namespace Slipway.Grpc;

/// <summary>File descriptors by name, by the symbols in them and by the extensions in them.</summary>
internal sealed class DescriptorIndex
{
    private readonly Dictionary<string, (byte[] Bytes, List<string> Dependencies)> files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> symbols = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Type, int Number), string> extensions = [];

    public string? FileNamed(string name) => files.ContainsKey(name) ? name : null;

    public string? FileOf(string symbol) => symbols.GetValueOrDefault(symbol);

    public string? FileOf(string type, int number) => extensions.GetValueOrDefault((type, number));

    /// <summary>Null when the type is not known.</summary>
    public IEnumerable<int>? ExtensionsOf(string type) =>
        symbols.ContainsKey(type) ? extensions.Keys.Where(extension => extension.Type == type).Select(extension => extension.Number).Order() : null;

    /// <summary>The file and what it imports, as far as it is known: a client then needs no second question.</summary>
    public IEnumerable<byte[]> WithDependencies(string file)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal) { file };
        var waiting = new Queue<string>(seen);
        while (waiting.TryDequeue(out var name))
        {
            if (files.TryGetValue(name, out var found))
            {
                yield return found.Bytes;
                foreach (var dependency in found.Dependencies.Where(seen.Add))
                {
                    waiting.Enqueue(dependency);
                }
            }
        }
    }

    // FileDescriptorProto: 1 name, 2 package, 3 dependency, 4 message_type, 5 enum_type, 6 service, 7 extension.
    public void Add(ReadOnlySpan<byte> file)
    {
        var (name, package) = ("", "");
        var dependencies = new List<string>();
        var head = new ProtoReader(file);
        while (head.Read())
        {
            switch (head.Field)
            {
                case 1:
                    name = head.Text;
                    break;
                case 2:
                    package = head.Text + ".";
                    break;
                case 3:
                    dependencies.Add(head.Text);
                    break;
            }
        }

        files[name] = (file.ToArray(), dependencies);
        var body = new ProtoReader(file);
        while (body.Read())
        {
            switch (body.Field)
            {
                case 4:
                    AddMessage(body.Bytes, package, name);
                    break;
                case 5:
                    symbols[package + NameOf(body.Bytes)] = name;
                    break;
                case 6:
                    AddService(body.Bytes, package, name);
                    break;
                case 7:
                    AddExtension(body.Bytes, package, name);
                    break;
            }
        }
    }

    // DescriptorProto: 1 name, 2 field, 3 nested_type, 4 enum_type, 6 extension. Protobuf nests at most 100 deep, and protoc wrote this.
    private void AddMessage(ReadOnlySpan<byte> message, string scope, string file)
    {
        var name = scope + NameOf(message);
        symbols[name] = file;
        var fields = new ProtoReader(message);
        while (fields.Read())
        {
            switch (fields.Field)
            {
                case 2:
                case 4:
                    symbols[$"{name}.{NameOf(fields.Bytes)}"] = file;
                    break;
                case 3:
                    AddMessage(fields.Bytes, name + ".", file);
                    break;
                case 6:
                    AddExtension(fields.Bytes, name + ".", file);
                    break;
            }
        }
    }

    private void AddService(ReadOnlySpan<byte> service, string package, string file)
    {
        var name = package + NameOf(service);
        symbols[name] = file;
        var fields = new ProtoReader(service);
        while (fields.Read())
        {
            if (fields.Field == 2)
            {
                symbols[$"{name}.{NameOf(fields.Bytes)}"] = file;
            }
        }
    }

    // FieldDescriptorProto: 1 name, 2 extendee with a leading dot, 3 number.
    private void AddExtension(ReadOnlySpan<byte> extension, string scope, string file)
    {
        symbols[scope + NameOf(extension)] = file;
        var (type, number) = ("", 0);
        var fields = new ProtoReader(extension);
        while (fields.Read())
        {
            (type, number) = fields.Field switch { 2 => (fields.Text.TrimStart('.'), number), 3 => (type, (int)fields.Number), _ => (type, number) };
        }

        extensions[(type, number)] = file;
    }

    private static string NameOf(ReadOnlySpan<byte> descriptor)
    {
        var fields = new ProtoReader(descriptor);
        while (fields.Read())
        {
            if (fields.Field == 1)
            {
                return fields.Text;
            }
        }

        return "";
    }
}
