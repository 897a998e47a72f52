namespace Slipway.Grpc;

/// <summary>What holds for every method of a server; a singleton service, if other than the defaults are wanted.</summary>
public sealed record GrpcServerOptions
{
    /// <summary>
    /// Makes a status of an exception that is not a <see cref="GrpcException"/>; null when it knows none. What stays unknown is a bug:
    /// it is logged, and the client gets INTERNAL without details. The one place of this translation.
    /// </summary>
    public Func<Exception, GrpcException?> Translate { get; init; } = static _ => null;

    /// <summary>
    /// Bytes of messages over 64 KiB that may be on their way in at one time; one more gets UNAVAILABLE. 512 MiB are 128 messages of the
    /// usual 4 MiB: more than clients send at once to a server that can keep up.
    /// </summary>
    public long MaxPendingMessageBytes { get; init; } = 512L << 20;

    internal static GrpcServerOptions Default { get; } = new();

    internal MessageBudget Budget => budget ?? Interlocked.CompareExchange(ref budget, new MessageBudget(MaxPendingMessageBytes), null) ?? budget;

    private MessageBudget? budget;
}
