using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>Opens a client for a URL, whatever stands behind it.</summary>
public static class RespClient
{
    /// <summary>Connects and shakes hands once; later cuts, failovers and moved slots are repaired behind the scenes.</summary>
    /// <exception cref="FormatException">The URL is malformed.</exception>
    /// <exception cref="RespConnectionException">The first attempt failed.</exception>
    public static async Task<IRespClient> ConnectAsync(RespOptions options, ILogger logger, CancellationToken cancellationToken) =>
        ParseUrl(options).Topology is RespTopology.Cluster
            ? await RespCluster.ConnectAsync(options, logger, cancellationToken).ConfigureAwait(false)
            : await RespConnection.ConnectAsync(options, logger, cancellationToken).ConfigureAwait(false);

    internal static RespUrl ParseUrl(RespOptions options)
    {
        RespUrl url = RespUrl.Parse(options.Url);
        return options.Tls is null || url.Tls
            ? url
            : throw new FormatException("TLS is configured but the URL is not: write rediss:// instead of redis://.");
    }

    /// <summary>What is wrong with a command before it gets in line; null when nothing is.</summary>
    internal static ValueTask<RespValue>? Unsendable(RespCommand command, RespOptions options, CancellationToken cancellationToken)
    {
        if (command.Size > options.MaxCommandBytes)
        {
            return ValueTask.FromException<RespValue>(
                new ArgumentException($"{command.Name} has {command.Size} bytes; the limit is {options.MaxCommandBytes}.", nameof(command)));
        }

        return cancellationToken.IsCancellationRequested ? ValueTask.FromCanceled<RespValue>(cancellationToken) : null;
    }
}
