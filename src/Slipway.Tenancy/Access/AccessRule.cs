using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Slipway.Tenancy;

public enum AccessRuleKind
{
    /// <summary>Anybody.</summary>
    Anonymous,

    /// <summary>Any good credential; the answer only shows what it may see.</summary>
    SignedIn,

    /// <summary>A session of anybody.</summary>
    Session,

    /// <summary>A session of a superuser.</summary>
    Superuser,

    /// <summary>A permission in the org of the route.</summary>
    Permission,
}

/// <summary>
/// Who may use an endpoint. Every endpoint under <c>/v1</c> carries exactly one; it is enforced before the body is read, and the
/// OpenAPI document shows it.
/// </summary>
/// <param name="ResourceRouteValue">Name of the route value that a key's pattern is matched with, after the org's.</param>
public sealed record AccessRule(AccessRuleKind Kind, Permission? Permission = null, string? ResourceRouteValue = null)
{
    internal AccessDecision Decide(Caller caller, HttpContext http)
    {
        // A credential that is no good is refused even where none is needed: its owner should hear about it.
        if (caller.Failure is not null || (caller.IsAnonymous && Kind != AccessRuleKind.Anonymous))
        {
            return caller.SignInRequired();
        }

        return Kind switch
        {
            AccessRuleKind.Anonymous or AccessRuleKind.SignedIn => AccessDecision.Allowed,
            AccessRuleKind.Session when caller.IsSession => AccessDecision.Allowed,
            AccessRuleKind.Superuser when caller.IsSession && caller.IsSuperuser => AccessDecision.Allowed,
            AccessRuleKind.Superuser when !caller.IsSuperuser =>
                new AccessDecision(AccessOutcome.Forbidden, Slipway.Api.ProblemCodes.Forbidden, "This is for superusers."),
            AccessRuleKind.Session or AccessRuleKind.Superuser => Caller.SessionRequired("This"),
            _ => caller.Decide(
                Permission!,
                http.Request.RouteValues["org"] as string,
                ResourceRouteValue is null ? null : http.Request.RouteValues[ResourceRouteValue] as string),
        };
    }
}

/// <summary>Puts an <see cref="AccessRule"/> on an endpoint.</summary>
public static class AccessRuleEndpoints
{
    /// <summary>Needs <paramref name="permission"/> in the org that the route value <c>org</c> names.</summary>
    public static TBuilder RequirePermission<TBuilder>(this TBuilder endpoint, Permission permission, string? resourceRouteValue = null)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new AccessRule(AccessRuleKind.Permission, permission, resourceRouteValue));

    public static TBuilder RequireSession<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new AccessRule(AccessRuleKind.Session));

    public static TBuilder RequireSuperuser<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new AccessRule(AccessRuleKind.Superuser));

    public static TBuilder RequireSignIn<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new AccessRule(AccessRuleKind.SignedIn));

    public static TBuilder AllowAnonymousAccess<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new AccessRule(AccessRuleKind.Anonymous));
}
