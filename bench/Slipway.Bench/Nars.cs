using System.Buffers.Binary;
using System.Net;
using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using Slipway.Native;

namespace Slipway.Bench;

/// <summary>A NAR file and the narinfo that goes with it, as stock nix would upload them.</summary>
/// <param name="Hash">Of the store path: its name in the cache.</param>
internal sealed record NarFile(string Hash, byte[] Body, string Extension, string NarHash, long NarSize)
{
    public string FileHash { get; } = Nars.Nix32(SHA256.HashData(Body));

    public string Path => $"nar/{FileHash}.nar{Extension}";

    public string NarInfo => $"""
        StorePath: /nix/store/{Hash}-bench
        URL: {Path}
        Compression: {(Extension.Length == 0 ? "none" : "zstd")}
        FileHash: sha256:{FileHash}
        FileSize: {Body.Length}
        NarHash: {NarHash}
        NarSize: {NarSize}
        References: {""}

        """;
}

/// <summary>Makes NARs to push and to serve.</summary>
internal static class Nars
{
    private const string Alphabet = "0123456789abcdfghijklmnpqrsvwxyz";

    /// <summary>One regular file of random bytes: nothing on the way can make it smaller.</summary>
    public static NarFile Random(int bytes, Random random)
    {
        var contents = new byte[bytes];
        random.NextBytes(contents);
        using var nar = new MemoryStream(bytes + 256);
        Write(nar, "nix-archive-1", "(", "type", "regular", "contents");
        Write(nar, contents);
        Write(nar, ")");
        var plain = nar.ToArray();
        return Of(plain, plain, "", random);
    }

    /// <summary>The NAR of a folder, packed with zstd -3 as `nix copy` with compression=zstd sends it.</summary>
    public static NarFile OfFolder(string folder, Random random)
    {
        using var nar = new MemoryStream();
        Write(nar, "nix-archive-1");
        WriteNode(nar, new DirectoryInfo(folder));
        var plain = nar.ToArray();
        return Of(plain, Packed(plain), ".zst", random);
    }

    public static async Task PutAsync(HttpClient http, string cache, NarFile nar)
    {
        await PutAsync(http, cache + nar.Path, nar.Body);
        await PutAsync(http, cache + nar.Hash + ".narinfo", Encoding.UTF8.GetBytes(nar.NarInfo));
    }

    public static async Task PutAsync(HttpClient http, string path, byte[] body)
    {
        using var content = new ByteArrayContent(body);
        using var answer = await http.PutAsync(new Uri(path, UriKind.Relative), content);
        if (answer.StatusCode is not (HttpStatusCode.Created or HttpStatusCode.NoContent))
        {
            throw new InvalidOperationException($"PUT {path}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        }
    }

    /// <summary>Nix's base 32: least significant digit last, bytes read from the end.</summary>
    public static string Nix32(ReadOnlySpan<byte> bytes)
    {
        var number = new BigInteger(bytes, isUnsigned: true);
        var digits = new char[(bytes.Length * 8 + 4) / 5];
        for (var at = digits.Length - 1; at >= 0; at--)
        {
            digits[at] = Alphabet[(int)(number & 31)];
            number >>= 5;
        }

        return new string(digits);
    }

    public static string RandomHash(Random random)
    {
        var hash = new byte[20];
        random.NextBytes(hash);
        return Nix32(hash);
    }

    private static NarFile Of(byte[] nar, byte[] body, string extension, Random random) =>
        new(RandomHash(random), body, extension, "sha256:" + Nix32(SHA256.HashData(nar)), nar.Length);

    private static byte[] Packed(byte[] nar)
    {
        using var compressor = new ZstdCompressor(level: 3, workers: Environment.ProcessorCount);
        using var packed = new MemoryStream(nar.Length / 2);
        var buffer = new byte[1 << 20];
        for (ReadOnlySpan<byte> rest = nar; ;)
        {
            var step = compressor.Compress(rest, buffer, last: true);
            packed.Write(buffer, 0, step.Written);
            rest = rest[step.Consumed..];
            if (step.FrameEnded)
            {
                return packed.ToArray();
            }
        }
    }

    private static void WriteNode(Stream nar, FileSystemInfo node)
    {
        Write(nar, "(", "type");
        if (node.LinkTarget is { } target)
        {
            Write(nar, "symlink", "target", target);
        }
        else if (node is FileInfo file)
        {
            Write(nar, "regular", "contents");
            Write(nar, File.ReadAllBytes(file.FullName));
        }
        else
        {
            Write(nar, "directory");
            foreach (var entry in ((DirectoryInfo)node).EnumerateFileSystemInfos().OrderBy(entry => entry.Name, StringComparer.Ordinal))
            {
                Write(nar, "entry", "(", "name", entry.Name, "node");
                WriteNode(nar, entry);
                Write(nar, ")");
            }
        }

        Write(nar, ")");
    }

    private static void Write(Stream nar, params ReadOnlySpan<string> texts)
    {
        foreach (var text in texts)
        {
            Write(nar, Encoding.UTF8.GetBytes(text));
        }
    }

    private static void Write(Stream nar, ReadOnlySpan<byte> bytes)
    {
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, bytes.Length);
        nar.Write(length);
        nar.Write(bytes);
        nar.Write(stackalloc byte[(8 - (bytes.Length % 8)) % 8]);
    }
}
