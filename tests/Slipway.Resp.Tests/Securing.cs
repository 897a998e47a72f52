using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;

namespace Slipway.Resp.Tests;

/// <summary>TLS to a real redis-server, with certificates made here.</summary>
public sealed class Securing : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly X509Certificate2 authority;

    public Securing()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Test authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        authority = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        Write("ca.pem", authority.ExportCertificatePem());
        Issue("server");
        Issue("client");
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        authority.Dispose();
        folder.Dispose();
    }

    [Fact]
    public async Task A_server_of_a_named_authority_is_trusted_and_others_are_not()
    {
        (RedisFixture server, int port) = await StartAsync("no");
        await using RedisFixture stops = server;
        var trusting = new RespTlsOptions { CaFile = folder.File("ca.pem") };

        await using (IRespClient client = await ConnectAsync(port, trusting))
        {
            byte[] large = RandomNumberGenerator.GetBytes(300_000);
            await client.SendAsync(RespCommand.Of("SET", "k", large), Token);
            (await client.SendAsync(RespCommand.Of("GET", "k"), Token)).AsBytes().ToArray().ShouldBe(large);
        }

        await ShouldFailAsync(port, null);
        await ShouldFailAsync(port, trusting with { ServerName = "redis.example" });
        await ShouldFailAsync(port, trusting with { CaFile = folder.File("client.pem") });
        await ShouldFailAsync(port, trusting with { CaFile = folder.File("missing.pem") });
    }

    [Fact]
    public async Task A_client_certificate_is_shown_when_the_server_wants_one()
    {
        (RedisFixture server, int port) = await StartAsync("yes");
        await using RedisFixture stops = server;
        var trusting = new RespTlsOptions { CaFile = folder.File("ca.pem") };

        await Should.ThrowAsync<RespConnectionException>(() => ConnectAsync(port, trusting));
        await using IRespClient client = await ConnectAsync(
            port, trusting with { ClientCertificateFile = folder.File("client.pem"), ClientKeyFile = folder.File("client.key") });

        (await client.SendAsync(RespCommand.Of("PING"), Token)).AsString().ShouldBe("PONG");
    }

    [Fact]
    public async Task A_plain_url_with_tls_settings_is_refused()
    {
        var options = new RespOptions { Url = "redis://127.0.0.1", Tls = new RespTlsOptions { CaFile = "ca.pem" } };

        (await Should.ThrowAsync<FormatException>(() => RespClient.ConnectAsync(options, NullLogger.Instance, Token))).Message.ShouldContain("rediss://");
    }

    private async Task ShouldFailAsync(int port, RespTlsOptions? tls) =>
        (await Should.ThrowAsync<RespConnectionException>(() => ConnectAsync(port, tls))).Reason.ShouldBe(RespConnectionFailure.TlsFailed);

    private static Task<IRespClient> ConnectAsync(int port, RespTlsOptions? tls) =>
        RespClient.ConnectAsync(new RespOptions { Url = $"rediss://127.0.0.1:{port}", Tls = tls }, NullLogger.Instance, Token);

    private async Task<(RedisFixture Server, int Port)> StartAsync(string authenticateClients)
    {
        int port = RedisFixture.FreePort();
        RedisFixture server = await RedisFixture.StartAsync(
            Token, tcp: false, durable: false, password: null,
            "--tls-port", port.ToString(System.Globalization.CultureInfo.InvariantCulture), "--tls-cert-file", folder.File("server.pem"),
            "--tls-key-file", folder.File("server.key"), "--tls-ca-cert-file", folder.File("ca.pem"), "--tls-auth-clients", authenticateClients);
        return (server, port);
    }

    private void Issue(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 certificate = request.Create(authority, authority.NotBefore, authority.NotAfter, RandomNumberGenerator.GetBytes(8));
        Write($"{name}.pem", certificate.ExportCertificatePem());
        Write($"{name}.key", key.ExportPkcs8PrivateKeyPem());
    }

    private void Write(string name, string text)
    {
        File.WriteAllText(folder.File(name), text);
        // redis-server may run under another account than the tests.
        File.SetUnixFileMode(folder.File(name), (UnixFileMode)Convert.ToInt32("644", 8));
    }
}
