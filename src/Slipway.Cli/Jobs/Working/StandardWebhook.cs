using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.Working;

/// <summary>
/// Signs requests after Standard Webhooks 1.0.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
/// base64(HMAC-SHA256(secret, <c>id.timestamp.body</c>)).
/// </summary>
internal sealed class StandardWebhook
{
    private const string Prefix = "whsec_";

    /// <summary>As the specification asks.</summary>
    private const int LeastBytes = 24;

    private const int MostBytes = 64;

    private readonly IReadOnlyList<byte[]> secrets;

    private StandardWebhook(IReadOnlyList<byte[]> secrets) => this.secrets = secrets;

    /// <param name="text">A secret a line; with several (while one is replaced by another) each signs.</param>
    public static StandardWebhook Parse(string text, string from)
    {
        var secrets = text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(line => Secret(line, from)).ToList();
        return secrets.Count > 0 ? new StandardWebhook(secrets) : throw CliFailure.Usage($"{from} holds no secret", $"openssl rand -base64 32 | sed s/^/{Prefix}/ > FILE");
    }

    public string Sign(string id, long timestamp, ReadOnlySpan<byte> body)
    {
        var head = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}.{timestamp}."));
        var signed = new byte[head.Length + body.Length];
        head.CopyTo(signed, 0);
        body.CopyTo(signed.AsSpan(head.Length));
        return string.Join(' ', secrets.Select(secret => "v1," + Convert.ToBase64String(HMACSHA256.HashData(secret, signed))));
    }

    private static byte[] Secret(string line, string from)
    {
        var bytes = new byte[MostBytes + 1];
        return line.StartsWith(Prefix, StringComparison.Ordinal) && Convert.TryFromBase64String(line[Prefix.Length..], bytes, out var length) && length is >= LeastBytes and <= MostBytes
            ? bytes[..length]
            : throw new CliFailure(ExitCodes.Usage, "bad_secret", $"{from} does not hold a webhook secret")
            {
                Cause = $"it is {Prefix} and {LeastBytes} to {MostBytes} bytes in base64", Try = [$"openssl rand -base64 32 | sed s/^/{Prefix}/ > FILE"],
            };
    }
}
