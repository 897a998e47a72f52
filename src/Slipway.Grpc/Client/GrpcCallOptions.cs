namespace Slipway.Grpc;

/// <summary>What goes with one call.</summary>
public sealed record GrpcCallOptions
{
    public static GrpcCallOptions None { get; } = new();

    /// <summary>After so long the call ends with DEADLINE_EXCEEDED; the server is told. Null: never.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Header names in lower case, values in ASCII. For <c>…-bin</c> names take <see cref="Binary"/>.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Metadata { get; init; } = [];

    /// <summary>Compresses the messages sent with gzip.</summary>
    public bool Gzip { get; init; }

    /// <summary>Metadata of any bytes, under a name that ends in <c>-bin</c>.</summary>
    public static KeyValuePair<string, string> Binary(string name, ReadOnlySpan<byte> value) =>
        name.EndsWith("-bin", StringComparison.Ordinal)
            ? new(name, BinaryMetadata.Encode(value))
            : throw new ArgumentException($"'{name}' does not end in -bin.", nameof(name));
}
