using System.Globalization;
using System.Security;
using System.Text;
using Microsoft.AspNetCore.Http;
using Slipway.Api;
using Slipway.BuildCache.Namespaces;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Http;

/// <summary>
/// As much of WebDAV (RFC 4918) as sccache speaks: GET, HEAD, PUT, DELETE, PROPFIND of one resource, MKCOL.
/// </summary>
/// <remarks>
/// Every folder exists: sccache asks for each one above a file before it writes, and makes those that are missing, three round trips
/// that change nothing here. Listing is not offered: nobody needs it, and keys are kept as hashes.
/// </remarks>
internal sealed class WebDav(KeyedObjects objects)
{
    /// <summary>What a PROPFIND may ask for, in bytes; its body is read to its end and all properties are told anyway.</summary>
    private const int LongestQuestion = 16 << 10;

    private const string Methods = "GET, HEAD, PUT, DELETE, PROPFIND, MKCOL, OPTIONS";

    public async Task HandleAsync(HttpContext http, BuildCacheAccess access, string path)
    {
        var isFolder = path.Length == 0 || path.EndsWith('/');
        var place = KeyedObjects.KeyOf(access, "sccache", path);
        switch (http.Request.Method)
        {
            case "OPTIONS":
                http.Response.Headers["DAV"] = "1";
                http.Response.Headers.Allow = Methods;
                break;
            case "PROPFIND":
                await PropFindAsync(http, access, path, isFolder);
                break;
            case "MKCOL":
                http.Response.StatusCode = StatusCodes.Status201Created;
                break;
            case "GET" or "HEAD":
                if (isFolder || !await objects.SendAsync(http, access, place, "application/octet-stream"))
                {
                    await HttpText.MissAsync(http);
                }

                break;
            case "PUT" when !isFolder:
                await objects.PutAsync(http, access, place, []);
                http.Response.StatusCode = StatusCodes.Status201Created;
                break;
            case "DELETE" when !isFolder:
                await HttpText.RemoveAsync(http, access, place);
                break;
            default:
                throw HttpText.MethodNotAllowed(http, Methods);
        }
    }

    private async Task PropFindAsync(HttpContext http, BuildCacheAccess access, string path, bool isFolder)
    {
        if (http.Request.Headers["Depth"].ToString() is not "0" and not "")
        {
            // RFC 4918 section 9.1: a server may refuse what would list everything.
            throw new ApiException(403, ProblemCodes.Forbidden, "Only PROPFIND with Depth: 0 is served here.");
        }

        if (http.Request.ContentLength > LongestQuestion)
        {
            throw new ApiException(413, ProblemCodes.TooLarge, $"A PROPFIND may have {LongestQuestion:N0} bytes.");
        }

        var properties = "<D:resourcetype><D:collection/></D:resourcetype>";
        if (!isFolder)
        {
            if (await objects.FindAsync(access, KeyedObjects.KeyOf(access, "sccache", path), http.RequestAborted) is not { } found)
            {
                await HttpText.MissAsync(http);
                return;
            }

            properties = string.Create(CultureInfo.InvariantCulture,
                $"<D:resourcetype/><D:getcontentlength>{found.Length}</D:getcontentlength><D:getlastmodified>{found.Info.LastUsed:R}</D:getlastmodified>");
        }
        else
        {
            // A client reads this as a date or not at all; a folder that always was has no better one.
            properties += $"<D:getlastmodified>{DateTimeOffset.UnixEpoch:R}</D:getlastmodified>";
        }

        var answer = $"""
            <?xml version="1.0" encoding="utf-8"?>
            <D:multistatus xmlns:D="DAV:"><D:response><D:href>{SecurityElement.Escape(http.Request.PathBase.Add(http.Request.Path).ToUriComponent())}</D:href><D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>
            """;
        await HttpText.AnswerAsync(http, StatusCodes.Status207MultiStatus, Encoding.UTF8.GetBytes(answer), "application/xml; charset=utf-8");
    }
}
