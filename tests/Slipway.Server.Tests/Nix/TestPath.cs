using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Slipway.Native;

namespace Slipway.Server.Tests.Nix;

/// <summary>A NAR as it is sent: the bytes of the file, and what they unpack to.</summary>
public sealed record NarFile(byte[] Bytes, byte[] Nar, string Compression)
{
    public string FileHash => Nix32.Of(SHA256.HashData(Bytes));

    public string Url => UrlOf(FileHash);

    public string UrlOf(string fileHash) => $"nar/{fileHash}.nar" + Compression switch { "zstd" => ".zst", "xz" => ".xz", "bzip2" => ".bz2", _ => "" };

    public static NarFile Plain(byte[] nar) => new(nar, nar, "none");

    public static NarFile Zstd(byte[] nar) => new(Compress(nar), nar, "zstd");

    public static byte[] Compress(ReadOnlySpan<byte> content)
    {
        using var compressor = new ZstdCompressor(level: 1);
        var result = new MemoryStream();
        var buffer = new byte[1 << 16];
        while (true)
        {
            var step = compressor.Compress(content, buffer, last: true);
            result.Write(buffer, 0, step.Written);
            content = content[step.Consumed..];
            if (step.FrameEnded)
            {
                return result.ToArray();
            }
        }
    }
}

/// <summary>A store path with a name of its own, one file, and references that its bytes spell.</summary>
public sealed record TestPath(string Hash, string Name, NarFile Nar, IReadOnlyList<TestPath> References)
{
    public string BaseName => $"{Hash}-{Name}";

    public string StorePath => $"/nix/store/{BaseName}";

    public string NarHash => "sha256:" + Nix32.Of(SHA256.HashData(Nar.Nar));

    public static string FreshHash() => Nix32.Of(RandomNumberGenerator.GetBytes(20));

    public static TestPath Fresh(params TestPath[] references)
    {
        var hash = FreshHash();
        var text = $"{hash} needs {string.Join(' ', references.Select(reference => reference.StorePath))}";
        return new TestPath(hash, "thing", NarFile.Zstd(Nars.Archive(Nars.Plain(text))), references);
    }

    /// <summary>A path of these very bytes.</summary>
    public static TestPath Of(NarFile nar) => new(FreshHash(), "thing", nar, []);

    /// <param name="lines">Lines that replace those of the same key, or come at the end.</param>
    public string NarInfo(params string[] lines)
    {
        List<string> all =
        [
            $"StorePath: {StorePath}", $"URL: {Nar.Url}", $"Compression: {Nar.Compression}", $"NarHash: {NarHash}", $"NarSize: {Nar.Nar.Length}",
            $"References: {string.Join(' ', References.Select(reference => reference.BaseName))}",
        ];
        foreach (var line in lines)
        {
            var key = line[..(line.IndexOf(':', StringComparison.Ordinal) + 1)];
            var at = key == "Sig:" ? -1 : all.FindIndex(one => one.StartsWith(key, StringComparison.Ordinal));
            if (at < 0)
            {
                all.Add(line);
            }
            else
            {
                all[at] = line;
            }
        }

        return string.Concat(all.Select(line => line + "\n"));
    }
}

/// <summary>Writes NARs, right or wrong, without the code under test.</summary>
public static class Nars
{
    public static byte[] Archive(params object[] tokens) => Tokens(["nix-archive-1", .. tokens]);

    public static object[] Plain(object contents) => ["(", "type", "regular", "contents", contents, ")"];

    public static object[] Folder(params (object Name, object[] Node)[] entries) =>
        ["(", "type", "directory", .. entries.SelectMany(entry => (object[])["entry", "(", "name", entry.Name, "node", .. entry.Node, ")"]), ")"];

    public static object[] Nested(int depth)
    {
        var node = Plain("x");
        List<object> before = [], after = [];
        for (var level = 0; level < depth; level++)
        {
            before.AddRange(["(", "type", "directory", "entry", "(", "name", "d", "node"]);
            after.AddRange([")", ")"]);
        }

        return [.. before, .. node, .. after];
    }

    private static byte[] Tokens(params object[] tokens)
    {
        var nar = new MemoryStream();
        Span<byte> length = stackalloc byte[8];
        foreach (var token in tokens)
        {
            var bytes = token as byte[] ?? Encoding.UTF8.GetBytes((string)token);
            BinaryPrimitives.WriteInt64LittleEndian(length, bytes.Length);
            nar.Write(length);
            nar.Write(bytes);
            nar.Write(new byte[-bytes.Length & 7]);
        }

        return nar.ToArray();
    }
}

/// <summary>Nix's base 32, written a second time so that a mistake in the server's shows.</summary>
public static class Nix32
{
    private const string Alphabet = "0123456789abcdfghijklmnpqrsvwxyz";

    public static string Of(ReadOnlySpan<byte> bytes)
    {
        var length = (bytes.Length * 8 + 4) / 5;
        var text = new StringBuilder(length);
        for (var digit = length - 1; digit >= 0; digit--)
        {
            var value = 0;
            for (var bit = 0; bit < 5; bit++)
            {
                var at = digit * 5 + bit;
                if (at < bytes.Length * 8 && (bytes[at / 8] >> (at % 8) & 1) == 1)
                {
                    value |= 1 << bit;
                }
            }

            text.Append(Alphabet[value]);
        }

        return text.ToString();
    }
}
