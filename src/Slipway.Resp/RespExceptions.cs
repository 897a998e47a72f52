namespace Slipway.Resp;

/// <summary>Anything that went wrong between us and Redis.</summary>
public class RespException(string message, Exception? innerException = null) : Exception(message, innerException);

/// <summary>Redis understood the command and answered with an error. The command did not take effect (a script may have, up to the error).</summary>
public sealed class RespServerException : RespException
{
    internal RespServerException(string command, string error)
        : base($"Redis refused {command}: {error}")
    {
        int end = error.IndexOf(' ', StringComparison.Ordinal);
        Code = end < 0 ? error : error[..end];
    }

    /// <summary>The first word of the error: <c>ERR</c>, <c>OOM</c>, <c>NOSCRIPT</c>, <c>READONLY</c>, …</summary>
    public string Code { get; }
}

public enum RespConnectionFailure
{
    /// <summary>No connection could be made (nobody listens, no such socket, name does not resolve, server still loads).</summary>
    ConnectFailed,

    /// <summary>The server wants other credentials, or refuses ours.</summary>
    AuthenticationFailed,

    /// <summary>The connection was cut.</summary>
    Lost,

    /// <summary>No answer, or no connection, within <see cref="RespOptions.CommandTimeout"/>.</summary>
    TimedOut,

    /// <summary>The peer does not speak RESP3, or exceeded a limit of <see cref="RespOptions"/>.</summary>
    ProtocolViolation,

    /// <summary>This connection has been disposed.</summary>
    Closed,
}

/// <summary>The command got no answer.</summary>
public sealed class RespConnectionException(RespConnectionFailure reason, bool inDoubt, string message, Exception? innerException = null)
    : RespException(message, innerException)
{
    public RespConnectionFailure Reason { get; } = reason;

    /// <summary>
    /// True: the command may or may not have been executed; only who knows its meaning can decide what to do.
    /// False: it certainly was not executed.
    /// </summary>
    public bool InDoubt { get; } = inDoubt;
}
