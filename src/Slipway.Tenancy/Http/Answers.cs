using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Slipway.Tenancy;

/// <summary>The body an endpoint takes, for the OpenAPI document. Not <c>Accepts</c>: routing would answer 415 before anybody is authenticated.</summary>
public sealed record RequestBodyType(Type Type);

/// <summary>Answers with single resources: always with an ETag, 304 when the caller has it.</summary>
public static class Answers
{
    /// <param name="etag">Null for a resource without a version: then its bytes are hashed.</param>
    public static IResult One<T>(HttpContext http, T resource, JsonTypeInfo<T> type, string? etag)
    {
        var tag = etag ?? ETags.OfContent(JsonSerializer.SerializeToUtf8Bytes(resource, type));
        http.Response.Headers.CacheControl = "private, no-cache";
        return ETags.IsUnchanged(http, tag) && HttpMethods.IsGet(http.Request.Method)
            ? TypedResults.StatusCode(StatusCodes.Status304NotModified)
            : TypedResults.Json(resource, type);
    }

    public static IResult Created<T>(HttpContext http, T resource, JsonTypeInfo<T> type, string location, string? etag)
    {
        http.Response.Headers.Location = location;
        http.Response.Headers.ETag = etag;
        http.Response.Headers.CacheControl = "no-store";
        return TypedResults.Json(resource, type, statusCode: StatusCodes.Status201Created);
    }

    /// <summary>Names the body's type for the OpenAPI document.</summary>
    public static TBuilder Takes<TBuilder>(this TBuilder endpoint, Type body)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new RequestBodyType(body));
}
