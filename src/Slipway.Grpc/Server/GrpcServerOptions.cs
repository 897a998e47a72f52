namespace Slipway.Grpc;

/// <summary>What holds for every method of a server; a singleton service, if other than the defaults are wanted.</summary>
public sealed record GrpcServerOptions
{
    /// <summary>
    /// Makes a status of an exception that is not a <see cref="GrpcException"/>; null when it knows none. What stays unknown is a bug:
    /// it is logged, and the client gets INTERNAL without details. The one place of this translation.
    /// </summary>
    public Func<Exception, GrpcException?> Translate { get; init; } = static _ => null;
}
