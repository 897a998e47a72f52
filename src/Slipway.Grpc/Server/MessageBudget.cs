namespace Slipway.Grpc;

/// <summary>
/// What all large messages that are on their way in may take together. Without it, 250 streams of a connection could each hold an
/// announced message back at its last byte.
/// </summary>
internal sealed class MessageBudget(long most)
{
    /// <summary>Messages up to here are not counted: the window of their connection bounds them.</summary>
    public const int Free = 64 * 1024;

    private long taken;

    public void Take(int bytes)
    {
        if (Interlocked.Add(ref taken, bytes) > most)
        {
            Give(bytes);
            throw new GrpcException(
                GrpcStatus.Unavailable, $"The server has {most} bytes of large messages on their way in, and takes no more at once. Try again shortly.", GrpcDetail.RetryAfter(TimeSpan.FromSeconds(1)));
        }
    }

    public void Give(int bytes) => Interlocked.Add(ref taken, -bytes);
}
