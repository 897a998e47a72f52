using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Npgsql;
using Slipway.Data;

namespace Slipway.Tenancy;

/// <summary>Orgs, users, sessions, keys, permissions and the event log: how the server takes them in.</summary>
public static class TenancyFeature
{
    public static MigrationModule TenancyMigrations { get; } = new("tenancy", typeof(TenancyFeature).Assembly);

    /// <summary>Needs a <see cref="Database"/> among the services.</summary>
    public static IServiceCollection AddTenancy(this IServiceCollection services, TenancyOptions options)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(provider => provider.GetRequiredService<Database>().Source);
        services.AddSingleton(options);
        services.AddSingleton(_ => SecretBox.Open(options.DataFolder));
        services.AddSingleton(provider => new CertificateAuthority(options.DataFolder, provider.GetRequiredService<SecretBox>(), provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new PermissionCatalogue(provider.GetServices<Permission>()));
        services.AddSingleton<CredentialStore>();
        services.AddSingleton<LastUse>();
        services.AddHostedService(provider => provider.GetRequiredService<LastUse>());
        services.AddSingleton(provider => new Authenticator(
            provider.GetRequiredService<CredentialStore>(),
            provider.GetRequiredService<LastUse>(),
            provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new EventFeed(
            provider.GetRequiredService<NpgsqlDataSource>(),
            provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<IdempotencyRecords>();
        services.AddSingleton(provider => new Changes(
            provider.GetRequiredService<NpgsqlDataSource>(),
            provider.GetRequiredService<IdempotencyRecords>(),
            provider.GetRequiredService<EventFeed>(),
            provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<RateLimiter>();
        services.AddSingleton<PasswordHasher>();
        services.AddSingleton<SignInThrottle>();
        services.AddSingleton<ChainVerifier>();
        services.AddSingleton<EventStream>();
        services.AddHostedService<Housekeeping>();
        services.AddSingleton(provider => new TenancyBootstrap(
            provider.GetRequiredService<Changes>(),
            provider.GetRequiredService<Authenticator>(),
            options));
        services.AddPermissions(TenancyPermissions.All);
        return services;
    }

    /// <summary>Authenticates and decides for every endpoint with an access rule. After routing, before the endpoints.</summary>
    public static IApplicationBuilder UseTenancy(this IApplicationBuilder app) => app.UseMiddleware<AccessGate>();

    public static IEndpointRouteBuilder MapTenancy(this IEndpointRouteBuilder endpoints)
    {
        SessionEndpoints.Map(endpoints);
        UserEndpoints.Map(endpoints);
        OrgEndpoints.Map(endpoints);
        MemberEndpoints.Map(endpoints);
        ServiceAccountEndpoints.Map(endpoints);
        KeyEndpoints.Map(endpoints);
        CertificateEndpoints.Map(endpoints);
        EventEndpoints.Map(endpoints);
        return endpoints;
    }
}
