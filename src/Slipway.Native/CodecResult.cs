namespace Slipway.Native;

/// <summary>What one call of a codec did.</summary>
/// <param name="Consumed">Input bytes taken; the rest has to be given again.</param>
/// <param name="Written">Output bytes made.</param>
/// <param name="FrameEnded">A frame (zstd) or stream (xz, bzip2) ended with this call, and all of its output is written.</param>
public readonly record struct CodecResult(int Consumed, int Written, bool FrameEnded);
