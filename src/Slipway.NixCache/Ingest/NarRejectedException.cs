namespace Slipway.NixCache;

/// <summary>What a client sent can't be accepted, and why: its mistake, answered with a final 4xx and this message.</summary>
internal sealed class NarRejectedException : Exception
{
    private NarRejectedException(int status, string message, Exception? inner)
        : base(message, inner) => Status = status;

    public int Status { get; }

    public static NarRejectedException Because(string message, Exception? inner = null) => new(400, message, inner);

    public static NarRejectedException TooLarge(string message) => new(413, message, null);

    public static NarRejectedException NoLongerAllowed(string reason) => new(403, $"The right to push was lost while this upload ran. {reason}", null);

    public static NarRejectedException UnsupportedEncoding(string encoding) =>
        new(415, $"Content-Encoding '{encoding}' is not supported: use gzip, br, deflate or none.", null);

    public static NarRejectedException Conflict(string message) => new(409, message, null);
}
