namespace Slipway.Resp;

/// <summary>Anything that went wrong between us and Redis.</summary>
public class RespException(string message, Exception? innerException = null) : Exception(message, innerException);

/// <summary>Redis understood the command and answered with an error. The command did not take effect (a script may have, up to the error).</summary>
public sealed class RespServerException : RespException
{
    internal RespServerException(string command, string error)
        : base($"Redis refused {command}: {error}") => Code = Refusal.CodeOf(error);

    /// <summary>The first word of the error: <c>ERR</c>, <c>OOM</c>, <c>NOSCRIPT</c>, <c>READONLY</c>, …</summary>
    public string Code { get; }

    /// <summary>
    /// The server's state, not the command, is the reason: the same command may succeed later. LOADING, BUSY, CLUSTERDOWN, TRYAGAIN,
    /// READONLY and MASTERDOWN have been retried for <see cref="RespOptions.CommandTimeout"/> already; OOM, MISCONF and NOREPLICAS
    /// come at once, because they last until somebody does something.
    /// </summary>
    public bool IsTransient => Code is "OOM" or "MISCONF" or "NOREPLICAS" || Refusal.Of(Code) is not Refusals.None;
}

public enum RespConnectionFailure
{
    /// <summary>No connection could be made (nobody listens, no such socket, name does not resolve, server still loads).</summary>
    ConnectFailed,

    /// <summary>The server wants other credentials, or refuses ours.</summary>
    AuthenticationFailed,

    /// <summary>TLS: the server's certificate is not trusted or for another name, it wants one of ours, or our files can't be read.</summary>
    TlsFailed,

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
