using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Slipway.Api;
using Slipway.BuildCache;
using Slipway.Data;
using Slipway.Grpc;
using Slipway.Jobs;
using Slipway.NixCache;
using Slipway.Queue;
using Slipway.Server.Configuration;
using Slipway.Server.Health;
using Slipway.Server.Hosting;
using Slipway.Server.Http;
using Slipway.Server.OpenApi;
using Slipway.Server.Stores;
using Slipway.Server.Telemetry;
using Slipway.Tenancy;

namespace Slipway.Server;

/// <summary>Which parts the server is made of, on one screen.</summary>
internal static class Composition
{
    public static IReadOnlyList<MigrationModule> Migrations { get; } = [TenancyFeature.TenancyMigrations, NixCacheFeature.NixCacheMigrations, JobsFeature.JobsMigrations, BuildCacheFeature.BuildCacheMigrations];

    public static WebApplication Compose(ServerConfiguration configuration, Foundations foundations, ILoggerFactory loggers, TimeProvider time)
    {
        // Empty: no appsettings.json, no ASPNETCORE_ variables, no launch settings. What is configurable is in ConfigurationKeys.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "slipway", ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.UseKestrelCore().UseSendFileTransport().ConfigureKestrel(kestrel => KestrelLimits.Apply(
            kestrel, configuration, configuration.Tls.Certificate is null ? null : kestrel.ApplicationServices.GetRequiredService<ServerTls>()));

        var services = builder.Services;
        services.AddSingleton(loggers);
        services.AddSingleton(time);
        services.AddSingleton<IHostLifetime, SignallessLifetime>();
        // Our own patience ends first; this one only keeps a worker that never ends from keeping the process.
        services.Configure<HostOptions>(host => host.ShutdownTimeout = configuration.Drain.Seconds + TimeSpan.FromSeconds(10));
        services.AddRoutingCore();
        services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        services.Configure<JsonOptions>(json => UseWireContract(json.SerializerOptions));
        services.AddTelemetry(configuration);
        services.AddApiDocumentation();
        services.AddSingleton(provider => new ServerTls(
            configuration.Tls, provider.GetRequiredService<CertificateAuthority>(), time, loggers.CreateLogger<ServerTls>()));
        services.AddSingleton(new GrpcServerOptions { Translate = GrpcStatuses.Of });
        services.AddSingleton(new GrpcHealth());
        services.AddSingleton(new GrpcReflection());
        services.AddSingleton<Readiness>();
        services.AddSingleton(Checks.OfDatabase(foundations.Database));
        services.AddSingleton(Checks.OfQueue(foundations.Redis, configuration.Redis.AllowEviction));
        services.AddSingleton(Checks.OfStores(foundations.Stores));
        services.AddSingleton(provider => Checks.OfWorkers(provider.GetServices<WorkerProgress>()));

        // Instances, not factories: the container must not dispose what has to outlive it.
        services.AddSingleton(foundations.Database);
        services.AddSingleton(foundations.Redis);
        services.AddSingleton(foundations.Stores);
        services.AddSingleton(new WorkQueues(foundations.Redis, time));
        services.AddTenancy(new TenancyOptions
        {
            DataFolder = foundations.DataFolder.Path,
            CredentialRateLimit = new RateLimit(configuration.Limits.RequestsPerMinute, TimeSpan.FromMinutes(1)),
            AnonymousRateLimit = new RateLimit(configuration.Limits.AnonymousRequestsPerMinute, TimeSpan.FromMinutes(1)),
            SessionLifetime = configuration.Sessions.Lifetime,
            KeyDefaultLifetime = configuration.Keys.DefaultLifetime,
            KeyMaxLifetime = configuration.Keys.MaxLifetime,
            PasswordIterations = configuration.Sessions.PasswordIterations,
        });

        services.AddNixCache(new NixCacheOptions
        {
            PublicUrl = configuration.Http.PublicUrl ?? new Uri($"{(configuration.Tls.Certificate is null ? "http" : "https")}://{configuration.Http.Listen}"),
            UploadFolder = Path.Combine(foundations.DataFolder.Path, "uploads"),
            StoreFolder = Path.Combine(foundations.DataFolder.Path, "stores"),
            ReserveBytes = configuration.Content.ReserveBytes,
            Hosts = configuration.Nix.Hosts,
            MaxNarBytes = configuration.Limits.NarBytes,
            MaxArchiveBytes = configuration.Limits.ArchiveBytes,
            MaxNarInfoBytes = (int)configuration.Limits.NarinfoBytes,
            MaxConcurrentIngests = configuration.Limits.ConcurrentIngests,
        });

        services.AddJobs(new JobsOptions
        {
            MaxQueues = configuration.Limits.Queues,
            MaxJobs = configuration.Limits.QueueJobs,
            MaxBytes = configuration.Limits.QueueBytes,
            MetricQueues = configuration.Metrics.Queues,
        });

        services.AddBuildCache(new BuildCacheOptions
        {
            PublicUrl = configuration.Http.PublicUrl ?? new Uri($"{(configuration.Tls.Certificate is null ? "http" : "https")}://{configuration.Http.Listen}"),
            GrpcUrl = GrpcUrlOf(configuration),
            StoreFolder = Path.Combine(foundations.DataFolder.Path, "buildcache"),
            DefaultStage = configuration.BuildCache.DefaultStage,
            DefaultQuotaBytes = configuration.BuildCache.DefaultQuota,
            BetaQuotaBytes = configuration.BuildCache.BetaQuota,
            InsightLifetime = configuration.BuildCache.InsightLifetime,
            MaxCaches = configuration.Limits.BuildCaches,
            MaxBlobBytes = configuration.Limits.BuildCacheBlobBytes,
        });

        services.AddStoreOperations(new ScrubOptions(configuration.Content.ScrubEvery, configuration.Content.ScrubBytesPerSecond));

        var app = builder.Build();
        app.UseSlipwayPipeline(configuration);
        app.MapHealth();
        // Like /readyz, for anybody: load balancers of gRPC ask here.
        app.MapGrpcHealth(app.Services.GetRequiredService<GrpcHealth>());
        app.MapGrpcReflection(app.Services.GetRequiredService<GrpcReflection>());
        app.MapOpenApi("/openapi/{documentName}.json");
        app.MapTenancy();
        app.MapNixCache();
        app.MapJobs();
        app.MapBuildCache();
        StoreOperations.Map(app);
        return app;
    }

    /// <summary>What has to be done once the services are there and before anybody is let in.</summary>
    public static async Task PrepareAsync(IServiceProvider services, CancellationToken cancellationToken)
    {
        // Wakes what must hear of everything from the start.
        services.GetRequiredService<MetricRegistry>();
        services.GetService<OpenTelemetry.Trace.TracerProvider>();
        await services.GetRequiredService<TenancyBootstrap>().EnsureAdminAsync(services.GetRequiredService<TenancyOptions>().DataFolder, cancellationToken);
    }

    /// <summary>What build tools are told to reach gRPC by; null when only the operator knows: behind a proxy, or on a port that is any free one.</summary>
    private static Uri? GrpcUrlOf(ServerConfiguration configuration)
    {
        var publicUrl = configuration.Http.PublicUrl;
        return configuration.Grpc.Listen is { Port: > 0 } listen
            ? publicUrl is null || (publicUrl.IsLoopback == (listen.Address is null || System.Net.IPAddress.IsLoopback(listen.Address)) && publicUrl.Scheme == Uri.UriSchemeHttp)
                ? new Uri($"grpc://{publicUrl?.Host ?? listen.ToString()[..listen.ToString().LastIndexOf(':')]}:{listen.Port}")
                : null
            : configuration.Tls.Certificate is not null && (publicUrl is not null || configuration.Http.Listen.Port > 0)
                ? new Uri($"grpcs://{publicUrl?.Authority ?? configuration.Http.Listen.ToString()}")
                : null;
    }

    private static void UseWireContract(System.Text.Json.JsonSerializerOptions options)
    {
        // The context's own options hold only for its own calls; a handler's binding takes these.
        options.TypeInfoResolverChain.Insert(0, ApiJson.Default);
        options.DefaultIgnoreCondition = ApiJson.Default.Options.DefaultIgnoreCondition;
        options.UnmappedMemberHandling = ApiJson.Default.Options.UnmappedMemberHandling;
        options.RespectNullableAnnotations = ApiJson.Default.Options.RespectNullableAnnotations;
        options.RespectRequiredConstructorParameters = ApiJson.Default.Options.RespectRequiredConstructorParameters;
    }
}
