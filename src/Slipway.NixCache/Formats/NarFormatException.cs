namespace Slipway.NixCache.Formats;

/// <summary>The bytes are not a NAR that is accepted here.</summary>
/// <param name="message">What is wrong, for the one who pushed.</param>
/// <param name="offset">Where in the NAR: the token at fault starts here.</param>
internal sealed class NarFormatException(string message, long offset) : Exception($"{message} (at byte {offset} of the NAR)")
{
    public long Offset { get; } = offset;
}
