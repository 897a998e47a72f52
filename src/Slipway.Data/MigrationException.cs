namespace Slipway.Data;

/// <summary>The schema cannot be brought to what this program needs; the message names the file and the cure. Never retried.</summary>
public sealed class MigrationException(string message, Exception? innerException = null) : Exception(message, innerException);
