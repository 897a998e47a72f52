using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>The page a request asks for. <paramref name="After"/> is the position its token carries, null for the first page.</summary>
public sealed record PageRequest(int Size, string? After)
{
    /// <summary>The position of a list ordered by id.</summary>
    public Guid? AfterId() => After is null ? null : Guid.Parse(After);
}

/// <summary>
/// The tokens of <c>?pageToken=</c>: a position, signed with HMAC and bound to the path, the filter and the caller, so that nobody can
/// make one up or use one on another list.
/// </summary>
public static class PageToken
{
    /// <summary>50 unless asked, 200 at most: what fits a screen, and what one answer should weigh.</summary>
    public const int DefaultSize = 50;

    public const int LargestSize = 200;

    private const int SignatureBytes = 16;

    /// <summary>Longest token we look at; ours are far shorter.</summary>
    private const int LongestToken = 2048;

    public static PageRequest Read(HttpContext http)
    {
        List<FieldFault> faults = [];
        var size = DefaultSize;
        if (http.Request.Query["pageSize"] is { Count: > 0 } sizeText &&
            (!int.TryParse(sizeText, NumberStyles.None, CultureInfo.InvariantCulture, out size) || size is < 1 or > LargestSize))
        {
            faults.Add(new FieldFault("?pageSize", $"must be a whole number from 1 to {LargestSize}"));
        }

        string? after = null;
        if (http.Request.Query["pageToken"] is { Count: > 0 } token && !TryOpen(http, token.ToString(), out after))
        {
            faults.Add(new FieldFault("?pageToken", "is not a token of this list; start again without it"));
        }

        return faults.Count == 0
            ? new PageRequest(size, after)
            : throw new ApiException(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, "The page asked for does not exist.", null, faults);
    }

    /// <summary>The token for the page after <paramref name="position"/>; also sets <c>Link: rel="next"</c>.</summary>
    public static string Next(HttpContext http, string position)
    {
        var text = Encoding.UTF8.GetBytes(position);
        var token = new byte[SignatureBytes + text.Length];
        Sign(http, text, token);
        text.CopyTo(token, SignatureBytes);
        var shown = Base64Url.EncodeToString(token);
        var query = Filter(http).Append(("pageToken", shown));
        if (http.Request.Query["pageSize"] is { Count: > 0 } size)
        {
            query = query.Append(("pageSize", size.ToString()));
        }

        var next = http.Request.Path + QueryString.Create(query.Select(pair => KeyValuePair.Create<string, string?>(pair.Item1, pair.Item2)));
        http.Response.Headers.Link = $"<{next}>; rel=\"next\"";
        return shown;
    }

    /// <summary>Cuts a list that was read with one row more than asked, and adds the token when there was one more.</summary>
    public static Page<T> Cut<T>(HttpContext http, PageRequest page, IReadOnlyList<T> rows, Func<T, string> position) =>
        rows.Count <= page.Size
            ? new Page<T>(rows, null)
            : new Page<T>([.. rows.Take(page.Size)], Next(http, position(rows[page.Size - 1])));

    private static bool TryOpen(HttpContext http, string token, out string? position)
    {
        position = null;
        if (token.Length > LongestToken || !Base64Url.IsValid(token))
        {
            return false;
        }

        var bytes = Base64Url.DecodeFromChars(token);
        if (bytes.Length <= SignatureBytes)
        {
            return false;
        }

        Span<byte> expected = stackalloc byte[SignatureBytes];
        Sign(http, bytes.AsSpan(SignatureBytes), expected);
        if (!CryptographicOperations.FixedTimeEquals(expected, bytes.AsSpan(0, SignatureBytes)))
        {
            return false;
        }

        position = Encoding.UTF8.GetString(bytes.AsSpan(SignatureBytes));
        return true;
    }

    private static void Sign(HttpContext http, ReadOnlySpan<byte> position, Span<byte> signature)
    {
        var binding = new StringBuilder(http.Request.Path);
        binding.Append('\n').Append(http.GetCaller().PrincipalId);
        foreach (var (name, value) in Filter(http))
        {
            binding.Append('\n').Append(name).Append('=').Append(value);
        }

        var key = http.RequestServices.GetRequiredService<SecretBox>().DeriveKey("page-token");
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
        hmac.AppendData(Encoding.UTF8.GetBytes(binding.ToString()));
        hmac.AppendData([0]);
        hmac.AppendData(position);
        hmac.GetCurrentHash().AsSpan(0, SignatureBytes).CopyTo(signature);
    }

    private static IEnumerable<(string, string)> Filter(HttpContext http) =>
        from pair in http.Request.Query
        where pair.Key is not ("pageToken" or "pageSize")
        orderby pair.Key
        select (pair.Key, pair.Value.ToString());
}
