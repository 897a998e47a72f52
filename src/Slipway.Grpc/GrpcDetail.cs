namespace Slipway.Grpc;

/// <summary>One <c>google.protobuf.Any</c> of a rich status.</summary>
/// <param name="TypeUrl">Such as <c>type.googleapis.com/google.rpc.RetryInfo</c>.</param>
/// <param name="Value">The message, serialised.</param>
public sealed record GrpcDetail(string TypeUrl, ReadOnlyMemory<byte> Value)
{
    private const string Prefix = "type.googleapis.com/google.rpc.";

    /// <summary><c>google.rpc.RetryInfo</c>: when it makes sense to try again.</summary>
    public static GrpcDetail RetryAfter(TimeSpan delay)
    {
        var duration = new ProtoWriter();
        duration.Number(1, (ulong)Math.Max(0, (long)delay.TotalSeconds));
        duration.Number(2, (ulong)Math.Max(0, delay.Ticks % TimeSpan.TicksPerSecond * 100));
        var info = new ProtoWriter();
        info.Bytes(1, duration.Written);
        return new GrpcDetail(Prefix + "RetryInfo", info.ToArray());
    }

    /// <summary><c>google.rpc.PreconditionFailure</c>: what has to hold and does not.</summary>
    public static GrpcDetail PreconditionFailure(IEnumerable<(string Type, string Subject, string Description)> violations) =>
        new(Prefix + "PreconditionFailure", Violations(violations.Select(violation => new[] { violation.Type, violation.Subject, violation.Description })));

    /// <summary><c>google.rpc.BadRequest</c>: which fields of the request are wrong.</summary>
    public static GrpcDetail BadRequest(IEnumerable<(string Field, string Description)> violations) =>
        new(Prefix + "BadRequest", Violations(violations.Select(violation => new[] { violation.Field, violation.Description })));

    /// <summary><c>google.rpc.QuotaFailure</c>: whose quota is used up.</summary>
    public static GrpcDetail QuotaFailure(string subject, string description) =>
        new(Prefix + "QuotaFailure", Violations([[subject, description]]));

    /// <summary><c>google.rpc.ErrorInfo</c>: a reason a program can tell apart (<c>UPPER_SNAKE_CASE</c>), within a domain.</summary>
    public static GrpcDetail ErrorInfo(string reason, string domain)
    {
        var info = new ProtoWriter();
        info.Text(1, reason);
        info.Text(2, domain);
        return new GrpcDetail(Prefix + "ErrorInfo", info.ToArray());
    }

    public override string ToString() => $"{TypeUrl} ({Value.Length} bytes)";

    // All three are a repeated message with strings 1, 2, … at field 1.
    private static byte[] Violations(IEnumerable<string[]> violations)
    {
        var all = new ProtoWriter();
        foreach (var fields in violations)
        {
            var one = new ProtoWriter();
            for (var i = 0; i < fields.Length; i++)
            {
                one.Text(i + 1, fields[i]);
            }

            all.Bytes(1, one.Written);
        }

        return all.ToArray();
    }
}
