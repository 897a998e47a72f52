using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;

namespace Slipway.Grpc;

/// <summary>The metadata a client sent: its HTTP/2 headers, with <c>-bin</c> values decoded. Names in any case.</summary>
public readonly struct GrpcMetadata
{
    private readonly IHeaderDictionary headers;

    internal GrpcMetadata(IHeaderDictionary headers) => this.headers = headers;

    /// <summary>The first value of a text key.</summary>
    public string? Get(string name) => headers.TryGetValue(name, out var values) && values.Count > 0 ? values[0] : null;

    /// <summary>
    /// The first value of a <c>…-bin</c> key. False when there is none or it is not base64. Several values may have been joined by
    /// commas on the way.
    /// </summary>
    public bool TryGetBinary(string name, [NotNullWhen(true)] out byte[]? value)
    {
        value = null;
        return headers.TryGetValue(name, out var lines) && BinaryMetadata.TryDecodeFirst(lines, out value);
    }

    /// <summary>All values of a <c>…-bin</c> key that are base64.</summary>
    public IEnumerable<byte[]> GetAllBinary(string name) => headers.TryGetValue(name, out var lines) ? BinaryMetadata.DecodeAll(lines) : [];
}
