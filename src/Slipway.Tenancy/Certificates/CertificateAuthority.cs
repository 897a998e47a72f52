using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Slipway.Tenancy;

/// <summary>
/// Issues client certificates for keys. A certificate says nothing but which key its holder may act as: rights, end and revocation are
/// the key's, and are looked up with every call.
/// </summary>
/// <remarks>
/// Lies in <c>keys/</c> of the data folder, made when it is first needed: <c>client-authority.crt</c> for anybody,
/// <c>client-authority.sealed</c> with the private key. Servers of one database share that folder's content, as they share the master key.
/// </remarks>
public sealed class CertificateAuthority
{
    private const string Purpose = "client-authority";

    // Longer than the longest life of a key (10 years), so that no certificate has to end before its key.
    private const int LifetimeYears = 20;

    /// <summary>Clocks of clients and servers differ; five minutes is what Kerberos allows.</summary>
    private static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(5);

    private static readonly Oid ClientAuthentication = new("1.3.6.1.5.5.7.3.2");

    private readonly string folder;
    private readonly SecretBox secrets;
    private readonly TimeProvider time;
    private readonly Lazy<X509Certificate2> authority;

    internal CertificateAuthority(string dataFolder, SecretBox secrets, TimeProvider time)
    {
        folder = Path.Combine(dataFolder, "keys");
        this.secrets = secrets;
        this.time = time;
        authority = new Lazy<X509Certificate2>(OpenOrMake);
    }

    /// <summary>The authority's own certificate, without its private key.</summary>
    public X509Certificate2 Certificate => X509CertificateLoader.LoadCertificate(authority.Value.RawData);

    internal string Pem => authority.Value.ExportCertificatePem();

    /// <summary>
    /// A certificate for the public key of <paramref name="signingRequest"/> (PKCS#10, PEM), whose holder may act as the key with the
    /// public part <paramref name="key"/> until <paramref name="notAfter"/>. Nothing else of the request is taken over.
    /// </summary>
    /// <exception cref="CryptographicException">The request is broken, not signed by its own key, or its key is too weak.</exception>
    internal X509Certificate2 Issue(string signingRequest, string key, DateTimeOffset notAfter)
    {
        CertificateRequest asked;
        try
        {
            // Checks the signature: the asker has the private key.
            asked = CertificateRequest.LoadSigningRequestPem(signingRequest, HashAlgorithmName.SHA256);
        }
        catch (ArgumentException fault)
        {
            throw new CryptographicException("It is no certificate request in PEM.", fault);
        }

        RequireStrength(asked.PublicKey);
        var request = new CertificateRequest(new X500DistinguishedName("O=Slipway, CN=" + key), asked.PublicKey, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([ClientAuthentication], critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority.Value, includeKeyIdentifier: true, includeIssuerAndSerial: false));
        var end = notAfter < authority.Value.NotAfter ? notAfter : authority.Value.NotAfter;
        return request.Create(authority.Value, time.GetUtcNow() - ClockSkew, end, RandomNumberGenerator.GetBytes(16));
    }

    /// <summary>The public part of the key (<c>slp_u_…</c>) that a certificate speaks for; null when it names none.</summary>
    internal static string? KeyOf(X509Certificate2 certificate) => certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false) is { Length: 6 + Token.IdLength } name ? name : null;

    /// <summary>Whether <paramref name="certificate"/> is a client's, in force at <paramref name="now"/>, and issued by one of <paramref name="authorities"/>.</summary>
    public static bool Verify(X509Certificate2 certificate, X509Certificate2Collection authorities, DateTimeOffset now)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(authorities);
        // What is revoked is the key.
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ApplicationPolicy.Add(ClientAuthentication);
        chain.ChainPolicy.VerificationTime = now.UtcDateTime;
        chain.ChainPolicy.VerificationTimeIgnored = false;
        return chain.Build(certificate);
    }

    private static void RequireStrength(PublicKey key)
    {
        // NIST SP 800-57: below 112 bits of strength nothing is to be used any more.
        using var rsa = key.GetRSAPublicKey();
        using var ecdsa = key.GetECDsaPublicKey();
        if (rsa is { KeySize: >= 2048 and <= 8192 } || ecdsa is { KeySize: >= 256 })
        {
            return;
        }

        throw new CryptographicException("Its key is neither RSA of 2048 to 8192 bits nor ECDSA of 256 or more.");
    }

    private X509Certificate2 OpenOrMake()
    {
        var (certificatePath, sealedPath) = (Path.Combine(folder, "client-authority.crt"), Path.Combine(folder, "client-authority.sealed"));
        using var key = ECDsa.Create();
        if (File.Exists(certificatePath))
        {
            using var certificate = X509CertificateLoader.LoadCertificateFromFile(certificatePath);
            key.ImportPkcs8PrivateKey(secrets.Open(Purpose, File.ReadAllBytes(sealedPath), Encoding.UTF8.GetBytes(Purpose)), out _);
            return certificate.CopyWithPrivateKey(key);
        }

        key.GenerateKey(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("O=Slipway, CN=Slipway client certificates", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        var now = time.GetUtcNow();
        var made = request.CreateSelfSigned(now.AddDays(-1), now.AddYears(LifetimeYears));
        // The certificate last: it says that the key is there.
        DurableFile.Write(sealedPath, secrets.Seal(Purpose, key.ExportPkcs8PrivateKey(), Encoding.UTF8.GetBytes(Purpose)));
        DurableFile.Write(certificatePath, Encoding.ASCII.GetBytes(made.ExportCertificatePem() + "\n"));
        return made;
    }
}
