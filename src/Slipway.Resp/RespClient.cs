using Microsoft.Extensions.Logging;

namespace Slipway.Resp;

/// <summary>Opens a client for a URL, whatever stands behind it.</summary>
public static class RespClient
{
    /// <summary>Connects and shakes hands once; later cuts are repaired behind the scenes.</summary>
    /// <exception cref="FormatException">The URL is malformed.</exception>
    /// <exception cref="RespConnectionException">The first attempt failed.</exception>
    public static async Task<IRespClient> ConnectAsync(RespOptions options, ILogger logger, CancellationToken cancellationToken) =>
        await RespConnection.ConnectAsync(options, logger, cancellationToken).ConfigureAwait(false);
}
