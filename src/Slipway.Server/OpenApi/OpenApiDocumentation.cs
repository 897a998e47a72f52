using System.Reflection;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Slipway.Api;
using Slipway.Tenancy;

namespace Slipway.Server.OpenApi;

/// <summary>
/// The OpenAPI 3.1 document at <c>/openapi/v1.json</c>, made from the endpoints: what routes alone don't say (problems, credentials,
/// permissions, streams) is added here from their metadata.
/// </summary>
internal static class OpenApiDocumentation
{
    private const string ProblemSchema = "Problem";

    // Everything may answer these; the rest depends on the route.
    private static readonly (string Status, string Description)[] AlwaysPossible =
    [
        ("429", "Too many requests; Retry-After says how long to wait."),
        ("500", "The server failed; its log knows the request id."),
        ("503", "A database or queue behind the server does not answer; try again."),
    ];

    private static readonly IReadOnlyDictionary<string, string> RouteNames = typeof(Routes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Where(field => field.IsLiteral).ToDictionary(field => (string)field.GetRawConstantValue()!, field => field.Name);

    public static IServiceCollection AddApiDocumentation(this IServiceCollection services) => services.AddOpenApi("v1", options =>
    {
        options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        options.ShouldInclude = description => description.RelativePath?.StartsWith("v1/", StringComparison.Ordinal) == true;
        options.AddDocumentTransformer(DescribeServerAsync);
        options.AddOperationTransformer(DescribeOperationAsync);
    });

    private static async Task DescribeServerAsync(OpenApiDocument document, OpenApiDocumentTransformerContext context, CancellationToken cancellationToken)
    {
        document.Info = new OpenApiInfo
        {
            Title = "Slipway",
            Version = "v1",
            Description = "Errors are application/problem+json. Lists page with pageSize and pageToken. A POST may carry an Idempotency-Key; a PATCH needs If-Match.",
        };
        // A relative server: the document is right wherever it was fetched from, proxies included.
        document.Servers = [new OpenApiServer { Url = "/" }];
        document.Components ??= new OpenApiComponents();
        document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>(StringComparer.Ordinal)
        {
            ["bearer"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", BearerFormat = "slp_…", Description = "A key or a session token." },
            ["basic"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "basic", Description = "The key or session token as password, for netrc; the user name is ignored." },
        };
        var problem = await context.GetOrCreateSchemaAsync(typeof(Problem), parameterDescription: null, cancellationToken);
        document.Components.Schemas ??= new Dictionary<string, IOpenApiSchema>(StringComparer.Ordinal);
        document.Components.Schemas[ProblemSchema] = problem;
        // Only now do the schemes exist in the document for the operations to refer to.
        foreach (var operation in document.Paths.Values.SelectMany(path => path.Operations ?? []).Select(pair => pair.Value))
        {
            if (operation.Extensions?.TryGetValue("x-slipway-permission", out var permission) == true && permission is JsonNodeExtension { Node: var node } && (string?)node == "anonymous")
            {
                operation.Security = [];
                continue;
            }

            operation.Security =
            [
                new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("bearer", document)] = [] },
                new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("basic", document)] = [] },
            ];
        }
    }

    private static Task DescribeOperationAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken cancellationToken)
    {
        var description = context.Description;
        var route = "/" + description.RelativePath;
        var metadata = description.ActionDescriptor.EndpointMetadata;
        var rule = metadata.OfType<AccessRule>().FirstOrDefault();
        var method = description.HttpMethod ?? "GET";
        operation.OperationId = metadata.OfType<IEndpointNameMetadata>().FirstOrDefault()?.EndpointName
            ?? method.ToLowerInvariant() + (RouteNames.GetValueOrDefault(route) ?? string.Concat(route.Split('/', '-', '{', '}').Select(Capitalised)));
        operation.Summary ??= Summaries.ByOperation.GetValueOrDefault(operation.OperationId);
        operation.Tags = new HashSet<OpenApiTagReference> { new(TagOf(route), context.Document) };
        operation.Extensions ??= new Dictionary<string, IOpenApiExtension>(StringComparer.Ordinal);
        operation.Extensions["x-slipway-permission"] = new JsonNodeExtension(JsonValue.Create(PermissionOf(rule)));
        operation.Responses ??= [];
        if (route.EndsWith("/stream", StringComparison.Ordinal))
        {
            operation.Responses["200"] = new OpenApiResponse
            {
                Description = "Server-sent events: id is the position to go on from with Last-Event-ID or ?after=.",
                Content = new Dictionary<string, OpenApiMediaType>(StringComparer.Ordinal) { ["text/event-stream"] = new() { Schema = new OpenApiSchema { Type = JsonSchemaType.String } } },
            };
        }

        foreach (var (status, words) in AlwaysPossible.Concat(ProblemsOf(rule, route, method)))
        {
            operation.Responses.TryAdd(status, ProblemResponse(words, context.Document));
        }

        return Task.CompletedTask;
    }

    private static IEnumerable<(string, string)> ProblemsOf(AccessRule? rule, string route, string method)
    {
        yield return ("400", "The request is wrong; errors names each fault.");
        if (rule is { Kind: not AccessRuleKind.Anonymous })
        {
            yield return ("401", "No credential, or one that is no good.");
            yield return ("403", "The credential may not do this.");
        }

        if (route.Contains('{', StringComparison.Ordinal))
        {
            yield return ("404", "There is no such thing, or the caller may not know of it.");
        }

        if (method is "POST" or "PUT" or "PATCH" or "DELETE")
        {
            yield return ("409", "It clashes with what is there.");
            yield return ("412", "It was changed since it was read.");
        }

        if (method is "POST" or "PUT" or "PATCH")
        {
            yield return ("413", "The body is too large.");
        }

        if (method == "PATCH")
        {
            yield return ("428", "If-Match is missing.");
        }
    }

    private static OpenApiResponse ProblemResponse(string words, OpenApiDocument? document) => new()
    {
        Description = words,
        Content = new Dictionary<string, OpenApiMediaType>(StringComparer.Ordinal) { [Problem.MediaType] = new() { Schema = new OpenApiSchemaReference(ProblemSchema, document) } },
    };

    private static string PermissionOf(AccessRule? rule) => rule?.Kind switch
    {
        null => "undeclared",
        AccessRuleKind.Permission => rule.Permission!.Name,
        AccessRuleKind.SignedIn => "signed-in",
        var kind => kind.Value.ToString().ToLowerInvariant(),
    };

    private static string TagOf(string route) => route switch
    {
        _ when route.Contains("/caches", StringComparison.Ordinal) => "Nix caches",
        _ when route.StartsWith(Routes.Stores, StringComparison.Ordinal) => "Stores",
        _ when route.Contains("/events", StringComparison.Ordinal) || route.Contains("/audit", StringComparison.Ordinal) => "Events",
        _ when route.StartsWith(Routes.Orgs, StringComparison.Ordinal) => "Orgs",
        _ => "Identity",
    };

    private static string Capitalised(string word) => word.Length == 0 ? "" : char.ToUpperInvariant(word[0]) + word[1..];
}
