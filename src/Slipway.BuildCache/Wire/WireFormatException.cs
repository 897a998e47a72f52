namespace Slipway.BuildCache.Wire;

/// <summary>A message from outside that isn't what it should be. Becomes INVALID_ARGUMENT at the edge; the text is for the sender.</summary>
internal sealed class WireFormatException(string message) : Exception(message);
