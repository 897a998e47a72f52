using System.Diagnostics;

namespace Slipway.EndToEnd.Tests.Running;

/// <summary>What a program printed and how it ended.</summary>
public sealed record Ran(string Command, int ExitCode, string Output, string Errors)
{
    public Ran ShouldSucceed() => ExitCode == 0 ? this : throw new ShouldAssertException(ToString());

    public Ran ShouldFail() => ExitCode != 0 ? this : throw new ShouldAssertException("should have failed: " + this);

    public override string ToString() => $"$ {Command}\n[exit {ExitCode}]\n{Output}{Errors}";
}

/// <summary>Runs real programs to their end.</summary>
internal static class Run
{
    /// <summary>No command of these tests takes longer on a loaded two-core machine; one that does has hung.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    public static async Task<Ran> ProgramAsync(
        string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null, string? input = null, string? folder = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder ?? "",
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(Patience);
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync(patience.Token);
        var errors = process.StandardError.ReadToEndAsync(patience.Token);
        try
        {
            await process.WaitForExitAsync(patience.Token);
            return new Ran($"{Path.GetFileName(program)} {string.Join(' ', start.ArgumentList)}", process.ExitCode, await output, await errors);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}
