namespace Slipway.Cli.Shell;

/// <summary>An end we understand: what happened, why, and what to do. Printed by <see cref="ErrorReport"/>.</summary>
internal sealed class CliFailure(int exitCode, string code, string what) : Exception(what)
{
    public int ExitCode { get; } = exitCode;

    public string Code { get; } = code;

    public string? Cause { get; init; }

    /// <summary>Commands or words that help, one a line.</summary>
    public IReadOnlyList<string> Try { get; init; } = [];

    public static CliFailure Usage(string what, params ReadOnlySpan<string> tries) =>
        new(ExitCodes.Usage, "usage", what) { Try = [.. tries] };
}
