using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Slipway.NixCache.Tests.Formats;

/// <summary>NARs for tests: one made by Nix, and a writer for any others, right or wrong.</summary>
internal static class Nars
{
    /// <summary>The dump by nix-store 2.8.0 of a small folder, and the listing that <c>nix copy</c> made of it.</summary>
    public static byte[] MadeByNix { get; } = Unpack(
        "H4sIAAAAAAACA81UzU6EMBCuv6smvoPGi3tARCO6vk2BWWgWCk6LAZ/Nmy9mwRk3a+JBZMVeJt9MO/PNX0/Fx9Gq8STGmXoGL3B4h/SXJPdJ2raCTh4TThRCbEtsCR+QBG173Xd+tCx6P3uEI6U37WXS2/+aB9bDeMz4PaR1LlGccPwG4trKKAexcY5IxqW2jqPh+xfnviuFbzJScNy5GIZ/WofP+0Vl2xH7MTZPxrnSq9/0y7RF7+KQ7RJTsGt714xuJsbmz/Nm6mjSuWecAFT/Yv9gOcr+fd2vR643wJnvPjvfOLLgp0/38SIIl6hwIe/S1UN4mzRFhqFqbyqJkZfLyJNecHU90T7uEn57FVupC79vxDT5MX4BLLeRnxiYxzspwFrCGAcAAA==");

    public const string ListingByNix =
        """{"version":1,"root":{"type":"directory","entries":{"bin":{"type":"directory","entries":{"run":{"type":"regular","size":10,"executable":true,"narOffset":400}}},"empty":{"type":"directory","entries":{}},"link":{"type":"symlink","target":"bin/run"},"sub":{"type":"directory","entries":{"deep":{"type":"directory","entries":{"ref":{"type":"regular","size":58,"narOffset":1264}}},"ü":{"type":"regular","size":1,"narOffset":1544}}},"zero":{"type":"regular","size":0,"narOffset":1768}}}}""";

    /// <summary>A whole archive; strings are written as UTF-8, byte arrays as they are.</summary>
    public static byte[] Archive(params object[] tokens) => Tokens(["nix-archive-1", .. tokens]);

    public static byte[] Tokens(params object[] tokens)
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

    public static object[] Plain(object contents) => ["(", "type", "regular", "contents", contents, ")"];

    public static object[] Folder(params (object Name, object[] Node)[] entries) =>
        ["(", "type", "directory", .. entries.SelectMany(entry => (object[])["entry", "(", "name", entry.Name, "node", .. entry.Node, ")"]), ")"];

    public static object[] Link(object target) => ["(", "type", "symlink", "target", target, ")"];

    private static byte[] Unpack(string gzipped)
    {
        using var gzip = new GZipStream(new MemoryStream(Convert.FromBase64String(gzipped)), CompressionMode.Decompress);
        var nar = new MemoryStream();
        gzip.CopyTo(nar);
        return nar.ToArray();
    }
}
