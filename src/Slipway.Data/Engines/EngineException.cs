namespace Slipway.Data;

/// <summary>The embedded PostgreSQL or Redis cannot be run as asked; the message says why and what to do.</summary>
public sealed class EngineException(string message, Exception? innerException = null) : Exception(message, innerException);
