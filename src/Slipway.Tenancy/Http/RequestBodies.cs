using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// A body as it was read. Faults of its form are in <see cref="Faults"/> already and the fields they touch hold empty values, so a
/// handler adds what it finds wrong with the others and then calls <see cref="Slipway.Tenancy.Faults.ThrowIfAny"/>: the caller hears everything at once.
/// </summary>
public sealed record RequestBody<T>(T Value, Faults Faults);

/// <summary>Collects the faults of a request, by JSON pointer.</summary>
public sealed class Faults
{
    private readonly List<FieldFault> faults = [];

    /// <summary>Faults told at once; nobody mends more in one go.</summary>
    private const int MostFaults = 100;

    public bool Any => faults.Count > 0;

    /// <summary>Adds a fault unless the field, or one around it, already has one: its value is not what the caller sent then.</summary>
    public void Add(string pointer, string detail)
    {
        // Each is compared with those before it: a body made of nothing but faults must not cost their square.
        if (faults.Count >= MostFaults)
        {
            ThrowIfAny();
        }

        if (!faults.Any(fault => pointer == fault.Pointer || pointer.StartsWith(fault.Pointer + "/", StringComparison.Ordinal)))
        {
            faults.Add(new FieldFault(pointer, detail));
        }
    }

    public void Require(bool good, string pointer, string detail)
    {
        if (!good)
        {
            Add(pointer, detail);
        }
    }

    /// <summary>400 with all of them.</summary>
    public void ThrowIfAny()
    {
        if (faults.Count > 0)
        {
            throw new ApiException(
                StatusCodes.Status400BadRequest,
                ProblemCodes.InvalidRequest,
                faults.Count == 1 ? $"{faults[0].Pointer} {faults[0].Detail}." : $"The request has {faults.Count} faults.",
                null,
                faults);
        }
    }
}

/// <summary>Reads JSON bodies: at most 1 MiB, no unknown or doubled fields, every fault with its JSON pointer.</summary>
public static class RequestBodies
{
    /// <summary>The largest JSON body. A closure of 10,000 store paths is about 600 kB.</summary>
    public const int LargestBody = 1024 * 1024;

    /// <summary>Our own deepest request has four levels; payloads of jobs are the caller's. 64 is what System.Text.Json reads.</summary>
    private const int DeepestBody = 64;

    private static readonly object Key = new();

    public static async Task<RequestBody<T>> ReadBodyAsync<T>(this HttpContext http, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        if (!http.Request.HasJsonContentType())
        {
            throw new ApiException(StatusCodes.Status415UnsupportedMediaType, ProblemCodes.InvalidRequest, "The body must be JSON.", "Send it with Content-Type: application/json.");
        }

        var bytes = await ReadBytesAsync(http, LargestBody, cancellationToken);
        http.Items[Key] = bytes;
        return Parse(bytes, type);
    }

    /// <summary>What <see cref="ReadBodyAsync{T}"/> read; empty without a body.</summary>
    internal static ReadOnlyMemory<byte> BodyBytes(this HttpContext http) => http.Items[Key] as byte[] ?? [];

    /// <summary>The whole body, of any type; 413 when it is larger than <paramref name="limit"/>.</summary>
    public static async Task<byte[]> ReadBytesAsync(this HttpContext http, int limit, CancellationToken cancellationToken)
    {
        if (http.Request.ContentLength > limit)
        {
            throw TooLarge();
        }

        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } kestrel && limit > LargestBody)
        {
            kestrel.MaxRequestBodySize = limit;
        }

        using var buffer = new MemoryStream();
        var chunk = new byte[16 * 1024];
        int read;
        while ((read = await http.Request.Body.ReadAsync(chunk, cancellationToken)) > 0)
        {
            if (buffer.Length + read > limit)
            {
                throw TooLarge();
            }

            buffer.Write(chunk, 0, read);
        }

        return buffer.ToArray();

        ApiException TooLarge() => new(StatusCodes.Status413PayloadTooLarge, ProblemCodes.TooLarge, $"The body may have {limit} bytes at most here.");
    }

    /// <summary>Reads JSON and finds every fault of its form. Much slower than reading it into its type, so for what failed there, or is rare.</summary>
    public static RequestBody<T> Parse<T>(ReadOnlySpan<byte> bytes, JsonTypeInfo<T> type)
    {
        JsonNode? root;
        try
        {
            root = JsonNode.Parse(bytes, null, new JsonDocumentOptions { MaxDepth = DeepestBody, AllowDuplicateProperties = false });
        }
        catch (JsonException exception)
        {
            throw Malformed(exception.Message);
        }

        if (root is not JsonObject body)
        {
            throw Malformed("The body must be a JSON object.");
        }

        var faults = new Faults();
        var clean = Clean(body, type, "", faults);
        return new RequestBody<T>(clean.Deserialize(type)!, faults);

        static ApiException Malformed(string detail) =>
            new(StatusCodes.Status400BadRequest, ProblemCodes.InvalidRequest, "The body is not valid JSON.", null, new FieldFault("", detail));
    }

    // Keeps the fields that fit their type and puts an empty value where a required one does not, so that the rest can be checked too.
    private static JsonObject Clean(JsonObject body, JsonTypeInfo type, string pointer, Faults faults)
    {
        var clean = new JsonObject();
        foreach (var (name, _) in body)
        {
            if (type.Properties.All(property => !Same(property.Name, name)))
            {
                faults.Add(Child(pointer, name), "is not a field of this request");
            }
        }

        foreach (var property in type.Properties)
        {
            var at = Child(pointer, property.Name);
            var propertyType = type.Options.GetTypeInfo(property.PropertyType);
            if (!TryFind(body, property.Name, out var value))
            {
                if (property.AssociatedParameter is { HasDefaultValue: false })
                {
                    if (MayBeNull(property))
                    {
                        clean[property.Name] = null;
                    }
                    else
                    {
                        faults.Add(at, "is missing");
                        clean[property.Name] = Empty(propertyType);
                    }
                }

                continue;
            }

            if (value is null)
            {
                if (!MayBeNull(property))
                {
                    faults.Add(at, "must not be null");
                    clean[property.Name] = Empty(propertyType);
                }
                else
                {
                    clean[property.Name] = null;
                }

                continue;
            }

            clean[property.Name] = CleanValue(value, propertyType, at, faults);
        }

        return clean;
    }

    private static bool MayBeNull(JsonPropertyInfo property) =>
        Nullable.GetUnderlyingType(property.PropertyType) is not null || property.AssociatedParameter is not { IsNullable: false };

    private static JsonNode? CleanValue(JsonNode value, JsonTypeInfo type, string pointer, Faults faults)
    {
        if (type.Kind == JsonTypeInfoKind.Enumerable && value is JsonArray list && type.ElementType is { } element)
        {
            var elementType = type.Options.GetTypeInfo(element);
            var clean = new JsonArray();
            foreach (var (index, item) in list.Index())
            {
                var at = $"{pointer}/{index}";
                if (item is null)
                {
                    faults.Add(at, "must not be null");
                    clean.Add(Empty(elementType));
                }
                else
                {
                    clean.Add(CleanValue(item, elementType, at, faults));
                }
            }

            return clean;
        }

        if (type.Kind == JsonTypeInfoKind.Object && value is JsonObject map)
        {
            return Clean(map, type, pointer, faults);
        }

        try
        {
            value.Deserialize(type);
            return value.DeepClone();
        }
        catch (Exception exception) when (exception is JsonException or FormatException or InvalidOperationException)
        {
            faults.Add(pointer, $"must be {Describe(type)}");
            return Empty(type);
        }
    }

    private static JsonNode? Empty(JsonTypeInfo type)
    {
        var bare = Nullable.GetUnderlyingType(type.Type) ?? type.Type;
        return type.Kind switch
        {
            JsonTypeInfoKind.Enumerable => new JsonArray(),
            JsonTypeInfoKind.Object or JsonTypeInfoKind.Dictionary => EmptyObject(type),
            _ when bare == typeof(string) => "",
            _ when bare == typeof(bool) => false,
            _ when Nullable.GetUnderlyingType(type.Type) is not null => null,
            _ when bare == typeof(DateTimeOffset) => DateTimeOffset.UnixEpoch,
            _ when bare == typeof(Guid) => Guid.Empty,
            _ when bare == typeof(byte[]) => "",
            _ => 0,
        };
    }

    private static JsonObject EmptyObject(JsonTypeInfo type)
    {
        var empty = new JsonObject();
        foreach (var property in type.Properties.Where(property => property.AssociatedParameter is { HasDefaultValue: false }))
        {
            empty[property.Name] = Empty(type.Options.GetTypeInfo(property.PropertyType));
        }

        return empty;
    }

    private static string Describe(JsonTypeInfo type)
    {
        var bare = Nullable.GetUnderlyingType(type.Type) ?? type.Type;
        return type.Kind switch
        {
            JsonTypeInfoKind.Enumerable => "an array",
            JsonTypeInfoKind.Object or JsonTypeInfoKind.Dictionary => "an object",
            _ when bare == typeof(string) => "a string",
            _ when bare == typeof(bool) => "true or false",
            _ when bare == typeof(DateTimeOffset) => "a time such as 2026-01-31T12:00:00Z",
            _ when bare == typeof(Guid) => "a UUID",
            _ when bare == typeof(byte[]) => "bytes in base64",
            _ when bare == typeof(double) => "a number",
            _ => $"a whole number that fits {(bare == typeof(long) ? "64" : "32")} bits",
        };
    }

    private static bool TryFind(JsonObject body, string name, out JsonNode? value)
    {
        foreach (var (key, candidate) in body)
        {
            if (Same(key, name))
            {
                value = candidate;
                return true;
            }
        }

        value = null;
        return false;
    }

    // Exact: {"Name":…} beside {"name":…} must not be two ways to say one thing.
    private static bool Same(string left, string right) => string.Equals(left, right, StringComparison.Ordinal);

    private static string Child(string pointer, string name) =>
        $"{pointer}/{name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)}";
}
