namespace Slipway.Grpc;

/// <summary>
/// A call that ends with a status other than OK. Thrown by handlers to say so (its message goes to the client), and by the client
/// side when a server said so.
/// </summary>
public sealed class GrpcException : Exception
{
    /// <param name="status">Anything but <see cref="GrpcStatus.Ok"/>.</param>
    /// <param name="message">For the person at the other end: what is wrong and what to do. Any Unicode text; at most 2,000 bytes of it are sent.</param>
    /// <param name="details">What a program at the other end can read, such as <see cref="GrpcDetail.RetryAfter"/>.</param>
    public GrpcException(GrpcStatus status, string message, params IReadOnlyList<GrpcDetail> details)
        : this(status, message, innerException: null, details)
    {
    }

    public GrpcException(GrpcStatus status, string message, Exception? innerException, params IReadOnlyList<GrpcDetail> details)
        : base(message, innerException)
    {
        ArgumentOutOfRangeException.ThrowIfEqual((int)status, (int)GrpcStatus.Ok, nameof(status));
        Status = status;
        Details = details;
    }

    public GrpcStatus Status { get; }

    /// <summary>What goes along as <c>grpc-status-details-bin</c>.</summary>
    public IReadOnlyList<GrpcDetail> Details { get; }
}
