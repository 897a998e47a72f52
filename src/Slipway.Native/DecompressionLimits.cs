namespace Slipway.Native;

/// <summary>How much memory a decoder may take, whatever the input asks for.</summary>
/// <param name="MaxWindowLog">zstd: log2 of the largest window; 27 (128 MiB) is what <c>zstd --long</c> makes and every decoder takes.</param>
/// <param name="MaxMemoryBytes">xz: memory of the decoder; 128 MiB takes every preset (<c>xz -9</c> needs 65 MiB).</param>
public sealed record DecompressionLimits(int MaxWindowLog, long MaxMemoryBytes)
{
    /// <summary>128 MiB for either format: the most that the usual command line tools ask for.</summary>
    public static DecompressionLimits Default { get; } = new(27, 128L << 20);
}

/// <summary>The input is perhaps valid, but decoding it would take more memory than the limits allow.</summary>
public sealed class DecompressionLimitException(string message) : Exception(message);
