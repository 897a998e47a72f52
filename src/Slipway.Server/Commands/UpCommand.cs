using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Npgsql;
using Slipway.Data;
using Slipway.Resp;
using Slipway.Server.Configuration;
using Slipway.Server.Hosting;
using Slipway.Server.Telemetry;

namespace Slipway.Server.Commands;

/// <summary><c>slipway up</c>: starts the server, says where it is, and stops it when asked to.</summary>
internal static class UpCommand
{
    public static async Task<int> RunAsync(LoadedConfiguration loaded, IReadOnlyDictionary<string, string> environment)
    {
        if (loaded.Faults.Count > 0)
        {
            return ConfigCommands.Refuse(loaded.Faults, Terminal.Error);
        }

        var configuration = loaded.Configuration;
        using var signals = new StopSignals();
        SlipwayServer server;
        try
        {
            server = await SlipwayServer.StartAsync(configuration, DataFolder.Choose(configuration, environment), TimeProvider.System, extend: null, signals.Stop);
        }
        catch (OperationCanceledException) when (signals.Stop.IsCancellationRequested)
        {
            return 0;
        }
        catch (Exception failure) when (ReasonOf(failure, configuration) is { } reason)
        {
            Terminal.Error.Line($"{Terminal.Error.Red("error")}  {reason}");
            return 1;
        }

        // With JSON logs, stdout is for the log collector; people look at stderr.
        Banner.Print(TelemetryServices.IsJson(configuration) ? Terminal.Error : Terminal.Out, server, configuration);
        await Task.Delay(Timeout.InfiniteTimeSpan, signals.Stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await server.StopAsync(signals.Force);
        return 0;
    }

    /// <summary>What to tell the operator; null for our own bugs, which deserve their stack trace.</summary>
    private static string? ReasonOf(Exception failure, ServerConfiguration configuration) => failure switch
    {
        EngineException or MigrationException => failure.Message,
        IOException { InnerException: AddressInUseException } =>
            configuration.Grpc.Listen is { } grpc && failure.Message.Contains($":{grpc.Port}:", StringComparison.Ordinal)
                ? $"{grpc}, where gRPC would be served, is in use by another program. Stop that one, or choose another address with --grpc ADDRESS:PORT."
                : $"{configuration.Http.Listen} is in use by another program. Stop that one, or choose another address with --http ADDRESS:PORT.",
        IOException { InnerException: SocketException } or SocketException => $"can't listen on {configuration.Http.Listen}: {failure.Message}",
        NpgsqlException => $"the database does not answer: {failure.Message}",
        RespException => $"Redis does not answer: {failure.Message}",
        UnauthorizedAccessException or IOException => failure.Message,
        _ => null,
    };
}
