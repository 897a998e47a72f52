namespace Slipway.Queue;

/// <summary>Thrown by a handler: trying again is of no use. The job becomes a dead letter at once.</summary>
public sealed class PermanentJobException(string message, Exception? innerException = null) : Exception(message, innerException)
{
    /// <summary>Groups dead letters; default: the type of the inner exception, else <c>permanent</c>. At most 100 characters.</summary>
    public string? Reason { get; init; }
}
