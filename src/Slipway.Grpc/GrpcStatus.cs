namespace Slipway.Grpc;

/// <summary>The seventeen status codes of gRPC, with the numbers they have on the wire.</summary>
public enum GrpcStatus
{
    Ok = 0,

    /// <summary>The caller went away or gave up.</summary>
    Cancelled = 1,

    Unknown = 2,

    /// <summary>The request is wrong whatever the state of the server is.</summary>
    InvalidArgument = 3,

    DeadlineExceeded = 4,

    NotFound = 5,

    AlreadyExists = 6,

    /// <summary>The caller is known and may not.</summary>
    PermissionDenied = 7,

    /// <summary>A quota, a rate, or a message too large.</summary>
    ResourceExhausted = 8,

    /// <summary>The state of the server forbids it; trying again changes nothing.</summary>
    FailedPrecondition = 9,

    Aborted = 10,

    OutOfRange = 11,

    Unimplemented = 12,

    /// <summary>A bug of the server.</summary>
    Internal = 13,

    /// <summary>Try the same call again later.</summary>
    Unavailable = 14,

    DataLoss = 15,

    /// <summary>There is no valid credential with the call.</summary>
    Unauthenticated = 16,
}
