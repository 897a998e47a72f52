using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Slipway.Grpc;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Tls;

/// <summary>The whole server with a certificate of its own making, and an authority of a customer beside the server's own.</summary>
public sealed class TlsServer : IAsyncLifetime
{
    private readonly TempFolder folder = new();

    public RunningServer Running { get; } = new();

    public X509Certificate2 CustomerAuthority { get; } = NewAuthority("Customer");

    public Uri Url => Running.Server.Url;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string AdminToken => File.ReadAllText(Path.Combine(Running.DataFolder, "admin-token")).Trim();

    private string CertificateFile => folder.File("server.crt");

    private string KeyFile => folder.File("server.key");

    public async ValueTask InitializeAsync()
    {
        RenewServerCertificate();
        await File.WriteAllTextAsync(folder.File("customer.crt"), CustomerAuthority.ExportCertificatePem(), Token);
        await Running.StartAsync(
            TestEndpoints.Map, ("tls.certificate", CertificateFile), ("tls.key", KeyFile), ("tls.clientAuthorities", folder.File("customer.crt")));
    }

    public async ValueTask DisposeAsync()
    {
        await Running.DisposeAsync();
        folder.Dispose();
        CustomerAuthority.Dispose();
    }

    /// <summary>Writes a new certificate and key over the old ones, and gives the certificate's thumbprint.</summary>
    public string RenewServerCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(KeyFile, key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(CertificateFile, made.ExportCertificatePem());
        return made.Thumbprint;
    }

    public void BreakServerCertificate() => File.WriteAllText(CertificateFile, "-----BEGIN CERTIFICATE-----\nbroken\n");

    /// <summary>A client with a connection of its own, and what it saw of the server's certificate.</summary>
    public (HttpClient Client, Func<string?> ServerThumbprint) Connect(X509Certificate2? certificate, string? token = null)
    {
        string? seen = null;
        var options = TlsOptions(certificate);
        options.RemoteCertificateValidationCallback = (_, server, _, _) =>
        {
            seen = ((X509Certificate2)server!).Thumbprint;
            return true;
        };
        var client = new HttpClient(new SocketsHttpHandler { SslOptions = options }) { BaseAddress = Url };
        client.DefaultRequestHeaders.Authorization = token is null ? null : new("Bearer", token);
        return (client, () => seen);
    }

    public HttpClient Admin() => Connect(null, AdminToken).Client;

    public GrpcChannel Channel(X509Certificate2? certificate)
    {
        var options = TlsOptions(certificate);
        options.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        return new GrpcChannel(Url, new GrpcChannelOptions { Tls = options });
    }

    /// <summary>Issues a key to the admin: its id and its public start.</summary>
    public async Task<(string Id, string Prefix)> NewKeyAsync()
    {
        using var admin = Admin();
        using var answer = await admin.PostAsync(
            new Uri("/v1/keys", UriKind.Relative), new StringContent("""{"name":"by-certificate","scopes":["org:read:acme"]}""", System.Text.Encoding.UTF8, "application/json"), Token);
        answer.EnsureSuccessStatusCode();
        var key = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Token))!["key"]!;
        return (key["id"]!.GetValue<string>(), key["prefix"]!.GetValue<string>());
    }

    /// <summary>A certificate for a key, of the server's own authority, with the private key made here.</summary>
    public async Task<(HttpStatusCode Status, JsonNode Answer, X509Certificate2? Certificate)> IssueAsync(string keyId, AsymmetricAlgorithm pair)
    {
        var request = pair is RSA rsa
            ? new CertificateRequest("CN=root", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            : new CertificateRequest("CN=root", (ECDsa)pair, HashAlgorithmName.SHA256);
        using var admin = Admin();
        using var answer = await admin.PostAsync(
            new Uri($"/v1/keys/{keyId}/certificate", UriKind.Relative),
            new StringContent(new JsonObject { ["signingRequest"] = request.CreateSigningRequestPem() }.ToJsonString(), System.Text.Encoding.UTF8, "application/json"),
            Token);
        var json = JsonNode.Parse(await answer.Content.ReadAsStringAsync(Token))!;
        return (answer.StatusCode, json, json["certificate"] is { } pem ? WithKey(pem.GetValue<string>(), pair) : null);
    }

    /// <summary>A certificate of another authority that says it is this key.</summary>
    public static X509Certificate2 Forge(X509Certificate2 authority, string prefix)
    {
        using var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + prefix, pair, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.2")], critical: false));
        using var made = request.Create(authority, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1), RandomNumberGenerator.GetBytes(8));
        return WithKey(made.ExportCertificatePem(), pair);
    }

    public static X509Certificate2 NewAuthority(string name)
    {
        using var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=" + name, pair, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, critical: true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private static SslClientAuthenticationOptions TlsOptions(X509Certificate2? certificate) =>
        new() { TargetHost = "localhost", ClientCertificates = certificate is null ? null : [certificate] };

    private static X509Certificate2 WithKey(string pem, AsymmetricAlgorithm pair)
    {
        using var whole = X509Certificate2.CreateFromPem(pem, pair.ExportPkcs8PrivateKeyPem());
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null);
    }
}
