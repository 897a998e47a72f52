using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Slipway.Grpc;
using Slipway.Server.Configuration;
using Slipway.Server.Health;
using Slipway.Server.Telemetry;

namespace Slipway.Server.Hosting;

/// <summary>
/// A running server.
/// </summary>
/// <remarks>
/// <code>
/// start   lock data folder ─ engines ─ migrations ─ compose ─ first admin ─ hosted services ─ listen
/// stop    readyz says 503 ─ (drain.delaySeconds) ─ listeners close ─ requests finish (drain.seconds) ─ workers ─ stores ─ Redis ─ PostgreSQL
/// </code>
/// </remarks>
internal sealed partial class SlipwayServer : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly Foundations foundations;
    private readonly ServerConfiguration configuration;
    private readonly ILoggerFactory loggers;
    private readonly TimeProvider time;
    private bool isStopped;

    private SlipwayServer(WebApplication app, Foundations foundations, ServerConfiguration configuration, ILoggerFactory loggers, TimeProvider time, TimeSpan startedWithin)
    {
        this.app = app;
        this.foundations = foundations;
        this.configuration = configuration;
        this.loggers = loggers;
        this.time = time;
        StartedWithin = startedWithin;
    }

    public DataFolder DataFolder => foundations.DataFolder;

    public TimeSpan StartedWithin { get; }

    public IServiceProvider Services => app.Services;

    /// <summary>Where it listens, with the port it was given when it asked for any.</summary>
    public Uri Url => new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()
        .Replace("//0.0.0.0:", "//127.0.0.1:", StringComparison.Ordinal).Replace("//[::]:", "//[::1]:", StringComparison.Ordinal));

    /// <summary>Where gRPC is served.</summary>
    public Uri GrpcUrl => new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Last()
        .Replace("//0.0.0.0:", "//127.0.0.1:", StringComparison.Ordinal).Replace("//[::]:", "//[::1]:", StringComparison.Ordinal));

    /// <param name="extend">Adds endpoints beside the server's own; for tests.</param>
    public static async Task<SlipwayServer> StartAsync(
        ServerConfiguration configuration, DataFolder dataFolder, TimeProvider time, Action<WebApplication>? extend, CancellationToken cancellationToken)
    {
        var clock = new StartUpClock(time);
        var loggers = LoggerFactory.Create(logging =>
        {
            logging.Services.AddSingleton(time);
            logging.AddSlipwayLogging(configuration);
        });
        Foundations? foundations = null;
        WebApplication? app = null;
        try
        {
            foundations = await Foundations.OpenAsync(configuration, dataFolder, Composition.Migrations, clock, loggers, time, cancellationToken);
            app = Composition.Compose(configuration, foundations, loggers, time);
            extend?.Invoke(app);
            clock.Done("compose");
            await Composition.PrepareAsync(app.Services, cancellationToken);
            clock.Done("prepare");
            await app.StartAsync(cancellationToken);
            clock.Done("listen");
            clock.WriteTo(loggers.CreateLogger<SlipwayServer>());
            return new SlipwayServer(app, foundations, configuration, loggers, time, clock.Total);
        }
        catch
        {
            if (app is not null)
            {
                await app.DisposeAsync();
            }

            if (foundations is not null)
            {
                await foundations.DisposeAsync();
            }

            loggers.Dispose();
            throw;
        }
    }

    /// <summary>Stops in order.</summary>
    /// <param name="force">When cancelled, requests under way are cut off; everything acknowledged stays durable.</param>
    public async Task StopAsync(CancellationToken force)
    {
        if (isStopped)
        {
            return;
        }

        isStopped = true;
        var logger = loggers.CreateLogger<SlipwayServer>();
        Log.Draining(logger, (int)configuration.Drain.Seconds.TotalSeconds);
        app.Services.GetRequiredService<Readiness>().Drain();
        app.Services.GetRequiredService<GrpcHealth>().SetAll(GrpcServing.NotServing);
        if (configuration.Drain.Delay > TimeSpan.Zero)
        {
            await Task.Delay(configuration.Drain.Delay, time, force).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        using var patience = new CancellationTokenSource(configuration.Drain.Seconds, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, force);
        try
        {
            // Kestrel was started last, so it is stopped first: listeners close, requests finish, and only then the workers end.
            await app.StopAsync(either.Token);
        }
        catch (OperationCanceledException)
        {
            Log.CutOff(logger);
        }

        await app.DisposeAsync();
        await foundations.DisposeAsync();
        Log.Stopped(logger);
        loggers.Dispose();
    }

    public async ValueTask DisposeAsync() => await StopAsync(new CancellationToken(canceled: true));

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "draining: requests under way have {Seconds} s")]
        public static partial void Draining(ILogger logger, int seconds);

        [LoggerMessage(LogLevel.Warning, "requests still under way were cut off")]
        public static partial void CutOff(ILogger logger);

        [LoggerMessage(LogLevel.Information, "stopped")]
        public static partial void Stopped(ILogger logger);
    }
}
