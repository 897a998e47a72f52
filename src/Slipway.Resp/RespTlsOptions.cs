using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Slipway.Resp;

/// <summary>
/// TLS of a <c>rediss…://</c> URL. With nothing set, the system's certificate authorities are trusted and the server's certificate
/// must be for the host of the URL. There is no way to accept any certificate: name the authority instead.
/// </summary>
public sealed record RespTlsOptions
{
    /// <summary>PEM file of the authorities to trust <em>instead of</em> the system's; of a self-signed server: its own certificate.</summary>
    public string? CaFile { get; init; }

    /// <summary>PEM file of our own certificate (and the intermediates), for servers with <c>tls-auth-clients yes</c>.</summary>
    public string? ClientCertificateFile { get; init; }

    /// <summary>PEM file of its key; null: in the same file.</summary>
    public string? ClientKeyFile { get; init; }

    /// <summary>The name that the certificate is for, when it is not the host of the URL (nodes of a cluster are dialled by IP address).</summary>
    public string? ServerName { get; init; }

    /// <summary>Read anew for each connection: renewed files count from the next one on.</summary>
    internal SslClientAuthenticationOptions ForHost(string host)
    {
        var options = new SslClientAuthenticationOptions { TargetHost = ServerName ?? host };
        try
        {
            if (CaFile is not null)
            {
                // Redis servers carry no revocation lists that a client could ask for; the authority is private.
                var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
                policy.CustomTrustStore.ImportFromPemFile(CaFile);
                options.CertificateChainPolicy = policy;
            }

            if (ClientCertificateFile is not null)
            {
                var own = X509Certificate2.CreateFromPemFile(ClientCertificateFile, ClientKeyFile ?? ClientCertificateFile);
                var chain = new X509Certificate2Collection();
                chain.ImportFromPemFile(ClientCertificateFile);
                options.ClientCertificateContext = SslStreamCertificateContext.Create(own, chain, offline: true);
            }
        }
        catch (Exception cause) when (cause is CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new RespConnectionException(
                RespConnectionFailure.TlsFailed, inDoubt: false, $"The TLS files can't be used: {cause.Message}", cause);
        }

        return options;
    }
}
