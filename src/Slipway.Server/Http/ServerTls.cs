using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;
using Slipway.Server.Configuration;
using Slipway.Tenancy;

namespace Slipway.Server.Http;

/// <summary>
/// The server's certificate and what it takes of clients. Looks at each handshake whether the files have changed (two calls of the
/// kernel beside a handshake of a millisecond): a renewed certificate is used without a restart, and a broken one is not.
/// </summary>
internal sealed partial class ServerTls
{
    private readonly TlsConfiguration configuration;
    private readonly TimeProvider time;
    private readonly ILogger<ServerTls> logger;
    private readonly X509Certificate2Collection authorities = [];
    private readonly Lock loading = new();
    private SslStreamCertificateContext current;
    private (string Certificate, string Key) stamps;

    /// <exception cref="IOException">The files can't be used; the message says which and why.</exception>
    public ServerTls(TlsConfiguration configuration, CertificateAuthority authority, TimeProvider time, ILogger<ServerTls> logger)
    {
        this.configuration = configuration;
        this.time = time;
        this.logger = logger;
        authorities.Add(authority.Certificate);
        if (configuration.ClientAuthorities is { } file)
        {
            try
            {
                authorities.ImportFromPemFile(file);
            }
            catch (CryptographicException fault)
            {
                throw new IOException($"tls.clientAuthorities: {file} holds no certificates in PEM.", fault);
            }
        }

        stamps = Stamps();
        current = Load();
    }

    /// <summary>Puts TLS on an endpoint. ALPN chooses among the protocols it has.</summary>
    public void Use(ListenOptions endpoint)
    {
        List<SslApplicationProtocol> protocols = endpoint.Protocols == HttpProtocols.Http2
            ? [SslApplicationProtocol.Http2]
            : [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11];
        endpoint.UseHttps(new TlsHandshakeCallbackOptions
        {
            // As for headers (KestrelLimits): a handshake is three packets.
            HandshakeTimeout = TimeSpan.FromSeconds(15),
            OnConnection = _ => ValueTask.FromResult(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = Current(),
                ApplicationProtocols = protocols,
                EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
                // Asked for, not demanded: most callers come with a token.
                ClientCertificateRequired = true,
                CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
                RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is null || IsOfOurs(certificate),
            }),
        });
    }

    private bool IsOfOurs(X509Certificate certificate)
    {
        if (certificate is X509Certificate2 whole && CertificateAuthority.Verify(whole, authorities, time.GetUtcNow()))
        {
            return true;
        }

        Log.Refused(logger, certificate.Subject, certificate.Issuer);
        return false;
    }

    private SslStreamCertificateContext Current()
    {
        lock (loading)
        {
            var now = Stamps();
            if (now != stamps)
            {
                // Remembered even when it fails: one line in the log for each change.
                stamps = now;
                try
                {
                    current = Load();
                    Log.Loaded(logger, configuration.Certificate!, current.TargetCertificate.NotAfter);
                }
                catch (IOException fault)
                {
                    Log.Kept(logger, fault.Message);
                }
            }

            return current;
        }
    }

    private SslStreamCertificateContext Load()
    {
        try
        {
            using var fromPem = X509Certificate2.CreateFromPemFile(configuration.Certificate!, configuration.Key);
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(configuration.Certificate!);
            // The first is the server's own; the others go along, so that clients can find their way to a root they know.
            chain.RemoveAt(0);
            // Through PKCS#12: a key that only lives in memory can't be used by every handshake.
            var certificate = X509CertificateLoader.LoadPkcs12(fromPem.Export(X509ContentType.Pkcs12), null);
            return SslStreamCertificateContext.Create(certificate, chain, offline: true);
        }
        catch (Exception fault) when (fault is CryptographicException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            throw new IOException($"tls.certificate and tls.key: {configuration.Certificate} and {configuration.Key} are not a certificate and its private key in PEM: {fault.Message}", fault);
        }
    }

    private (string Certificate, string Key) Stamps() => (Stamp(configuration.Certificate!), Stamp(configuration.Key!));

    // Through links: renewal by certbot and by Kubernetes changes where one leads.
    private static string Stamp(string path)
    {
        try
        {
            var file = new FileInfo(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path);
            return file.Exists ? $"{file.FullName} {file.LastWriteTimeUtc.Ticks} {file.Length}" : "";
        }
        catch (IOException)
        {
            return "";
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "TLS now uses the new certificate in {File}, which ends {End}")]
        public static partial void Loaded(ILogger logger, string file, DateTime end);

        [LoggerMessage(LogLevel.Error, "TLS keeps the certificate it had: {Fault}")]
        public static partial void Kept(ILogger logger, string fault);

        [LoggerMessage(LogLevel.Warning, "a client came with a certificate of {Subject}, issued by {Issuer}, which is not taken here")]
        public static partial void Refused(ILogger logger, string subject, string issuer);
    }
}
