using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Slipway.Data;
using Slipway.Testing;

namespace Slipway.Tenancy.Tests;

/// <summary>A server with nothing but Tenancy, on real Kestrel and a real database, with a clock that stands still.</summary>
internal sealed class TenancyHost : IAsyncDisposable
{
    private readonly bool ownsDatabase;
    private readonly TempFolder folder;

    private TenancyHost(WebApplication app, TestDatabase database, bool ownsDatabase, TempFolder folder, ManualTimeProvider time, string adminToken)
    {
        App = app;
        Database = database;
        this.ownsDatabase = ownsDatabase;
        this.folder = folder;
        Time = time;
        AdminToken = adminToken;
        Client = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
    }

    public static CancellationToken Cancelled => Xunit.TestContext.Current.CancellationToken;

    public WebApplication App { get; }

    public TestDatabase Database { get; }

    public ManualTimeProvider Time { get; }

    public HttpClient Client { get; }

    public string AdminToken { get; }

    public string DataFolder => folder.Path;

    public IEnumerable<Microsoft.AspNetCore.Http.Endpoint> Endpoints =>
        ((IEndpointRouteBuilder)App).DataSources.SelectMany(source => source.Endpoints);

    public T Get<T>()
        where T : notnull => App.Services.GetRequiredService<T>();

    /// <param name="beside">Another server whose database and clock this one shares.</param>
    public static async Task<TenancyHost> StartAsync(
        TenancyHost? beside = null, RateLimit? credentialLimit = null, RateLimit? anonymousLimit = null, int iterations = 1000, Action<WebApplication>? map = null,
        Func<TenancyOptions, TenancyOptions>? configure = null)
    {
        var database = beside?.Database ?? await PostgresFixture.CreateDatabaseAsync([TenancyFeature.TenancyMigrations], Cancelled);
        var time = beside?.Time ?? new ManualTimeProvider();
        var folder = new TempFolder();
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<TimeProvider>(time);
        builder.Services.AddSingleton(_ => new Database(database.ConnectionString));
        var options = new TenancyOptions
        {
            DataFolder = folder.Path,
            PasswordIterations = iterations,
            CredentialRateLimit = credentialLimit ?? new RateLimit(100_000, TimeSpan.FromMinutes(1)),
            AnonymousRateLimit = anonymousLimit ?? new RateLimit(100_000, TimeSpan.FromMinutes(1)),
        };
        builder.Services.AddTenancy(configure?.Invoke(options) ?? options);
        var app = builder.Build();
        app.Use(async (http, next) =>
        {
            try
            {
                await next(http);
            }
            catch (ApiException exception) when (!http.Response.HasStarted)
            {
                await Problems.WriteAsync(http, exception, http.RequestAborted);
            }
        });
        app.UseTenancy();
        app.MapTenancy();
        map?.Invoke(app);
        await app.StartAsync(Cancelled);
        var path = await app.Services.GetRequiredService<TenancyBootstrap>().EnsureAdminAsync(folder.Path, Cancelled);
        return new TenancyHost(app, database, beside is null, folder, time, (await File.ReadAllTextAsync(path, Cancelled)).Trim());
    }

    public Task<AccessWorld> WorldAsync() => AccessWorld.CreateAsync(Client, AdminToken, Database.Database.Source, Cancelled);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await App.DisposeAsync();
        if (ownsDatabase)
        {
            await Database.DisposeAsync();
        }

        folder.Dispose();
    }
}
