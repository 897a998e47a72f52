namespace Slipway.Cli.Doctor;

internal enum Verdict
{
    Good,
    Warning,
    Bad,
}

/// <summary>One line of the doctor. <paramref name="Fix"/> is a command or a sentence, for what is not good.</summary>
internal sealed record Finding(string Check, Verdict Verdict, string Says, string? Fix = null);
