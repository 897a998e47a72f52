using Microsoft.Extensions.DependencyInjection;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>Every permission of every feature; those that keys may carry are the catalogue of scopes.</summary>
public sealed class PermissionCatalogue
{
    private readonly Dictionary<string, Permission> scopes;

    internal PermissionCatalogue(IEnumerable<Permission> permissions)
    {
        Permissions = [.. permissions.OrderBy(permission => permission.Name, StringComparer.Ordinal)];
        scopes = Permissions.Where(permission => permission.Credential == CredentialRule.KeyOrSession).ToDictionary(permission => permission.Name, StringComparer.Ordinal);
    }

    public IReadOnlyList<Permission> Permissions { get; }

    public IReadOnlyList<ScopeDefinition> Scopes =>
        [.. scopes.Values.OrderBy(permission => permission.Name, StringComparer.Ordinal)
            .Select(permission => new ScopeDefinition(permission.Name, permission.Summary, Roles.Name(permission.MinimumRole)))];

    /// <summary>What is wrong with <paramref name="text"/> as a scope of a key; null when nothing is.</summary>
    internal string? FaultOf(string text)
    {
        if (!Scope.TryParse(text, out var scope, out var fault))
        {
            return fault;
        }

        var name = $"{scope.Service}:{scope.Action}";
        return scopes.ContainsKey(name)
            ? null
            : Permissions.Any(permission => permission.Name == name)
                ? $"{name} needs a session and can't be given to a key"
                : $"{name} is not known; known are {string.Join(", ", scopes.Keys.Order(StringComparer.Ordinal))}";
    }
}

public static class PermissionServices
{
    /// <summary>Adds a feature's permissions to the catalogue.</summary>
    public static IServiceCollection AddPermissions(this IServiceCollection services, params IReadOnlyList<Permission> permissions)
    {
        foreach (var permission in permissions)
        {
            services.AddSingleton(permission);
        }

        return services;
    }
}
