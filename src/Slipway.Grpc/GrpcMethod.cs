namespace Slipway.Grpc;

/// <summary>Who sends one message and who sends many.</summary>
public enum GrpcMethodKind
{
    Unary,
    ServerStreaming,
    ClientStreaming,
    BidiStreaming,
}

/// <summary>A method as it is mapped; metadata of its endpoint.</summary>
/// <param name="Path"><c>/package.Service/Method</c>.</param>
/// <param name="MaxMessageBytes">A longer message of the client ends the call with RESOURCE_EXHAUSTED before it is read.</param>
public sealed record GrpcMethod(string Path, GrpcMethodKind Kind, int MaxMessageBytes)
{
    /// <summary>4 MiB: what every gRPC implementation takes unless told otherwise.</summary>
    public const int DefaultMaxMessageBytes = 4 << 20;

    /// <summary><c>package.Service</c>.</summary>
    public string Service => Path[1..Path.LastIndexOf('/')];

    /// <summary><c>Method</c>.</summary>
    public string Name => Path[(Path.LastIndexOf('/') + 1)..];

    internal bool ClientSendsOne => Kind is GrpcMethodKind.Unary or GrpcMethodKind.ServerStreaming;

    internal bool ServerSendsOne => Kind is GrpcMethodKind.Unary or GrpcMethodKind.ClientStreaming;
}
