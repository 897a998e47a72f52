using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// Strong entity tags, made from a resource's id and version: the id is in it so that something deleted and made again under the
/// same name does not match an old tag.
/// </summary>
public static class ETags
{
    public static string Of(Guid id, long version)
    {
        Span<byte> bytes = stackalloc byte[24];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        BinaryPrimitives.WriteInt64BigEndian(bytes[16..], version);
        return OfContent(bytes);
    }

    /// <summary>The tag of a representation that has no version: a hash of its bytes.</summary>
    public static string OfContent(ReadOnlySpan<byte> content)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(content, hash);
        // 96 bits are plenty to tell versions of one resource apart.
        return $"\"{Base64Url.EncodeToString(hash[..12])}\"";
    }

    /// <summary>Throws 428 when <c>If-Match</c> is missing and 412 when it names another version. For PATCH.</summary>
    public static void Require(HttpContext http, string current)
    {
        if (StringValues.IsNullOrEmpty(http.Request.Headers.IfMatch))
        {
            throw new ApiException(
                StatusCodes.Status428PreconditionRequired,
                ProblemCodes.PreconditionRequired,
                "This update needs an If-Match header.",
                "Read the resource, and send the ETag it came with as If-Match.");
        }

        Check(http, current);
    }

    /// <summary>Throws 412 when <c>If-Match</c> is there and names another version. For PUT and DELETE.</summary>
    public static void Check(HttpContext http, string current)
    {
        var header = http.Request.Headers.IfMatch;
        if (!StringValues.IsNullOrEmpty(header) && !Matches(header, current))
        {
            throw new ApiException(
                StatusCodes.Status412PreconditionFailed,
                ProblemCodes.PreconditionFailed,
                "Somebody changed this since you read it.",
                "Read it again, look at what changed, and repeat your update with the new ETag.");
        }
    }

    /// <summary>Sets the ETag, and says whether <c>If-None-Match</c> has it already: then answer 304.</summary>
    public static bool IsUnchanged(HttpContext http, string current)
    {
        http.Response.Headers.ETag = current;
        var header = http.Request.Headers.IfNoneMatch;
        return !StringValues.IsNullOrEmpty(header) && Matches(header, current);
    }

    private static bool Matches(StringValues header, string current)
    {
        if (!EntityTagHeaderValue.TryParseList(header, out var tags))
        {
            return false;
        }

        var mine = new EntityTagHeaderValue(current);
        return tags.Any(tag => tag.Equals(EntityTagHeaderValue.Any) || tag.Compare(mine, useStrongComparison: true));
    }
}
