using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Slipway.Grpc;

/// <summary>How a status is written into the headers that end a call.</summary>
internal static class StatusTrailers
{
    public const string DetailsName = "grpc-status-details-bin";

    /// <summary>
    /// Bytes of a rich status, before base64. Clients take 8 KiB of trailers by default (gRPC Java's and C's limit): more would lose the
    /// status itself, so a larger one goes without.
    /// </summary>
    public const int MaxDetailBytes = 4_500;

    private static readonly string[] Numbers = [.. Enumerable.Range(0, 17).Select(code => code.ToString(CultureInfo.InvariantCulture))];

    public static string NumberOf(GrpcStatus status) => Numbers[(int)status];

    public static void Write(IHeaderDictionary headers, GrpcStatus status, string? message, IReadOnlyList<GrpcDetail> details)
    {
        headers.GrpcStatus = NumberOf(status);
        if (!string.IsNullOrEmpty(message))
        {
            headers.GrpcMessage = PercentEncoding.Encode(message);
        }

        if (details.Count > 0 && EncodeDetails(status, message ?? "", details) is { Length: <= MaxDetailBytes } bytes)
        {
            headers[DetailsName] = BinaryMetadata.Encode(bytes);
        }
    }

    /// <summary><c>google.rpc.Status</c>: 1 code, 2 message, 3 details.</summary>
    public static byte[] EncodeDetails(GrpcStatus status, string message, IReadOnlyList<GrpcDetail> details)
    {
        var rich = new ProtoWriter();
        rich.Number(1, (ulong)status);
        rich.Text(2, message);
        foreach (var detail in details)
        {
            var any = new ProtoWriter();
            any.Text(1, detail.TypeUrl);
            any.Bytes(2, detail.Value.Span);
            rich.Bytes(3, any.Written);
        }

        return rich.ToArray();
    }

    /// <summary>The details of a serialised <c>google.rpc.Status</c>; none when it is broken.</summary>
    public static IReadOnlyList<GrpcDetail> DecodeDetails(ReadOnlySpan<byte> bytes)
    {
        var details = new List<GrpcDetail>();
        try
        {
            var rich = new ProtoReader(bytes);
            while (rich.Read())
            {
                if (rich.Field == 3)
                {
                    var (url, value) = ("", Array.Empty<byte>());
                    var any = new ProtoReader(rich.Bytes);
                    while (any.Read())
                    {
                        (url, value) = any.Field switch { 1 => (any.Text, value), 2 => (url, any.Bytes.ToArray()), _ => (url, value) };
                    }

                    details.Add(new GrpcDetail(url, value));
                }
            }
        }
        catch (FormatException)
        {
            return [];
        }

        return details;
    }
}
