using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Slipway.Bench;

/// <summary>Programs that are run to their end, and those that run beside the measurement.</summary>
internal static class Shell
{
    public static async Task<string> RunAsync(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0
            ? await output
            : throw new InvalidOperationException($"{program} ended with {process.ExitCode}: {await errors}{await output}");
    }

    public static Process Start(string program, IEnumerable<string> arguments, string logFile)
    {
        var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var log = TextWriter.Synchronized(File.CreateText(logFile));
        foreach (var reader in (StreamReader[])[process.StandardOutput, process.StandardError])
        {
            _ = Task.Run(async () =>
            {
                while (await reader.ReadLineAsync() is { } line)
                {
                    log.WriteLine(line);
                    log.Flush();
                }
            });
        }

        return process;
    }

    /// <summary>SIGTERM, which .NET has no call for, and the end.</summary>
    public static async Task StopAsync(Process process)
    {
        if (!process.HasExited)
        {
            await RunAsync("kill", ["-TERM", $"{process.Id}"]);
            await process.WaitForExitAsync();
        }

        process.Dispose();
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public static string? Find(string program) =>
        $"{Environment.GetEnvironmentVariable("PATH")}:/usr/sbin".Split(':').Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    public static async Task UntilAnswersAsync(Uri url, Process process, string logFile)
    {
        using var http = new HttpClient();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync(url, patience.Token);
                if (answer.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (HttpRequestException) when (!process.HasExited)
            {
                // Not listening yet.
            }

            if (process.HasExited)
            {
                throw new InvalidOperationException($"{process.ProcessName} did not start: {File.ReadAllText(logFile)}");
            }

            await Task.Delay(50, patience.Token);
        }
    }
}
