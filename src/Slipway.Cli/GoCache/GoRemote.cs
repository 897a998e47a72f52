using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Slipway.Cli.GoCache;

/// <summary>
/// The build cache on the server. It never fails a build: what goes wrong is said once, and then builds go on without it.
/// </summary>
internal sealed class GoRemote : IDisposable
{
    private const string OutputHeader = "X-Go-Output-Id";

    /// <summary>After so many failures in a row the server counts as gone: each one may have taken its whole timeout.</summary>
    private const int MostFailures = 3;

    /// <summary>A package archive of 100 MB over a slow line; the go command waits meanwhile.</summary>
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(60);

    private readonly HttpClient http;
    private readonly string prefix;
    private readonly Action<string> warn;
    private int failures;
    private volatile bool readOff;
    private volatile bool writeOff;

    public GoRemote(Uri url, string? token, string instance, Action<string> warn)
    {
        this.warn = warn;
        prefix = $"cache/{instance}/go/";
        http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(5), AllowAutoRedirect = false, UseCookies = false })
        {
            BaseAddress = url,
            Timeout = CallTimeout,
        };
        http.DefaultRequestHeaders.TryAddWithoutValidation("User-Agent", $"slipway-cli/{CliVersion.Text}");
        http.DefaultRequestHeaders.Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token);
    }

    public bool IsWritten => !writeOff;

    /// <summary>Fetches the output of an action into <paramref name="file"/> and returns its id; null on a miss.</summary>
    public async Task<string?> FetchAsync(string action, string file, CancellationToken cancellationToken)
    {
        if (readOff)
        {
            return null;
        }

        try
        {
            using var answer = await http.GetAsync(prefix + action, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            if (answer.StatusCode == HttpStatusCode.NotFound)
            {
                Volatile.Write(ref failures, 0);
                return null;
            }

            if (!answer.IsSuccessStatusCode)
            {
                await RefusedAsync(answer, reading: true, cancellationToken);
                return null;
            }

            var output = answer.Headers.TryGetValues(OutputHeader, out var values) ? values.First() : "";
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            await using (var target = File.Create(file))
            await using (var body = await answer.Content.ReadAsStreamAsync(cancellationToken))
            {
                var buffer = new byte[64 << 10];
                for (int read; (read = await body.ReadAsync(buffer, cancellationToken)) > 0;)
                {
                    hash.AppendData(buffer, 0, read);
                    await target.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
                }
            }

            Volatile.Write(ref failures, 0);
            // What the compiler will trust is checked here, not believed.
            return Convert.ToHexStringLower(hash.GetHashAndReset()) == output ? output : null;
        }
        catch (Exception exception) when (IsOfTheNetwork(exception, cancellationToken))
        {
            Failed(exception.Message);
            return null;
        }
    }

    /// <summary>Uploads an output that is in <paramref name="file"/>.</summary>
    public async Task StoreAsync(string action, string output, string file, CancellationToken cancellationToken)
    {
        if (writeOff)
        {
            return;
        }

        try
        {
            await using var body = File.OpenRead(file);
            using var request = new HttpRequestMessage(HttpMethod.Put, prefix + action) { Content = new StreamContent(body) };
            request.Content.Headers.ContentLength = body.Length;
            request.Headers.Add(OutputHeader, output);
            using var answer = await http.SendAsync(request, cancellationToken);
            if (answer.IsSuccessStatusCode)
            {
                Volatile.Write(ref failures, 0);
            }
            else
            {
                await RefusedAsync(answer, reading: false, cancellationToken);
            }
        }
        catch (Exception exception) when (IsOfTheNetwork(exception, cancellationToken))
        {
            Failed(exception.Message);
        }
    }

    public void Dispose() => http.Dispose();

    private static bool IsOfTheNetwork(Exception exception, CancellationToken cancellationToken) =>
        exception is HttpRequestException or IOException or OperationCanceledException && !cancellationToken.IsCancellationRequested;

    private async Task RefusedAsync(HttpResponseMessage answer, bool reading, CancellationToken cancellationToken)
    {
        var text = (await answer.Content.ReadAsStringAsync(cancellationToken)).Trim();
        var reason = text.Length is > 0 and < 500 ? text : string.Create(CultureInfo.InvariantCulture, $"the server answered {(int)answer.StatusCode} {answer.ReasonPhrase}");
        if (answer.StatusCode is not (HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden))
        {
            Failed(reason);
        }
        else if (reading)
        {
            GiveUp(reason);
        }
        else if (!writeOff)
        {
            // A key that may only read is a fine way to work; nothing to warn of.
            writeOff = true;
        }
    }

    private void Failed(string reason)
    {
        if (Interlocked.Increment(ref failures) >= MostFailures)
        {
            GiveUp(reason);
        }
    }

    private void GiveUp(string reason)
    {
        lock (http)
        {
            if (readOff)
            {
                return;
            }

            readOff = writeOff = true;
        }

        warn($"the build cache is not used: {reason}");
    }
}
