namespace Shouldly;

/// <summary>
/// Bytes are compared as bytes: the comparison of any two sequences boxes each element, which took longer than what the tests of blobs test.
/// In Shouldly's namespace, so that <c>bytes.ShouldBe(others)</c> means this wherever it is written.
/// </summary>
public static class ByteAssertions
{
    public static void ShouldBe(this byte[]? actual, byte[]? expected, string? customMessage = null)
    {
        if (actual is null || expected is null ? ReferenceEquals(actual, expected) : actual.AsSpan().SequenceEqual(expected))
        {
            return;
        }

        throw new ShouldAssertException($"{(customMessage is null ? "" : customMessage + ": ")}{Difference(actual, expected)}");
    }

    private static string Difference(byte[]? actual, byte[]? expected)
    {
        if (actual is null || expected is null)
        {
            return $"{Text(actual)} should be {Text(expected)}";
        }

        var at = actual.AsSpan().CommonPrefixLength(expected);
        return $"{Text(actual)} should be {Text(expected)}; they differ from byte {at}: {Some(actual, at)} should be {Some(expected, at)}";
    }

    private static string Text(byte[]? bytes) => bytes is null ? "null" : $"{bytes.Length} bytes";

    private static string Some(byte[] bytes, int at) => $"[{string.Join(", ", bytes.Skip(at).Take(16))}]";
}
