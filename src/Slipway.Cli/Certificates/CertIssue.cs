using System.CommandLine;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Slipway.Api;
using Slipway.Cli.Contexts;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Certificates;

/// <summary><c>slipway cert issue NAME --scope …</c>: a key that is used by a client certificate. The private key is made here and never leaves this machine.</summary>
internal sealed class CertIssue : Verb
{
    private const UnixFileMode Readable = AtomicFile.Private | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    private readonly Argument<string> name;
    private readonly Option<string[]> scopes;
    private readonly Option<int?> days;
    private readonly Option<string?> key;
    private readonly Option<string?> output;
    private readonly Option<string?> account;
    private readonly Option<string?> org;

    public CertIssue()
        : base("issue", "Issue a client certificate for a new key, or for one there is")
    {
        name = Positional("NAME", "What it is for, such as ci; the files get this name");
        scopes = new Option<string[]>("--scope", "-s")
        {
            Description = "service:action:pattern, such as buildcache:read:acme/*; may be given several times",
            HelpName = "SCOPE",
        };
        Add(scopes);
        days = Number("--days", "N", "Days it is valid; what the server is set to unless given, mostly 90", least: 1, most: 3660);
        key = Text("--key", "ID", "Issue it for this key instead of a new one; it ends with that key");
        output = Text("--out", "DIR", "Where NAME.crt, NAME.key and slipway-authority.crt are written; here unless given");
        account = Text("--service-account", "NAME", "The key is of this service account of the org instead of yours");
        org = OrgOption();
    }

    public override string Remarks => "The certificate says which key its holder may act as, and nothing else. Revoke the key (slipway key revoke) and it is worth nothing within a second.";

    public override IReadOnlyList<string> Examples =>
    [
        "cert issue ci --scope 'buildcache:read:acme/*' --scope 'buildcache:write:acme/*' --service-account ci --days 30",
        "cert issue laptop --key key_01jd… --out ~/.config/slipway",
    ];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var label = run.Get(name);
        var wanted = run.Get(scopes) ?? [];
        if (wanted.Length == 0 == run.Get(key) is null)
        {
            throw CliFailure.Usage("give --scope for a new key, or --key for one there is", "slipway key scopes lists the scopes");
        }

        if (label.AsSpan().ContainsAny('/', '\0') || label is "." or ".." or "")
        {
            throw CliFailure.Usage($"\"{label}\" can't be the name of a file", "give a plain name, such as ci");
        }

        // Before anything is issued: a folder that can't be written shall not cost a key.
        var folder = Path.GetFullPath(run.Get(output) ?? ".");
        Directory.CreateDirectory(folder);
        var machine = run.Get(account);
        var id = run.Get(key);
        var made = id is null;
        if (id is null)
        {
            var request = new IssueKeyRequest(label, wanted, run.Get(days));
            var fresh = machine is null
                ? await run.Client.IssueKeyAsync(request, cancellationToken)
                : await run.Client.IssueServiceAccountKeyAsync(run.Org(org), machine, request, cancellationToken);
            // Its secret is dropped: the certificate is the only way to use it.
            id = fresh.Key.Id;
        }

        try
        {
            using var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var signing = new IssueCertificateRequest(new CertificateRequest("CN=slipway", pair, HashAlgorithmName.SHA256).CreateSigningRequestPem());
            var issued = machine is null
                ? await run.Client.IssueCertificateAsync(id, signing, cancellationToken)
                : await run.Client.IssueServiceAccountCertificateAsync(run.Org(org), machine, id, signing, cancellationToken);
            var (certificateFile, keyFile, authorityFile) = (Path.Combine(folder, label + ".crt"), Path.Combine(folder, label + ".key"), Path.Combine(folder, "slipway-authority.crt"));
            AtomicFile.Write(keyFile, pair.ExportPkcs8PrivateKeyPem() + "\n", AtomicFile.Private);
            AtomicFile.Write(certificateFile, issued.Certificate, Readable);
            AtomicFile.Write(authorityFile, issued.Authority, Readable);
            run.Write(issued, json => json.IssuedCertificate, _ => certificateFile, _ =>
            {
                run.Out.WriteLine(certificateFile);
                run.Out.WriteLine(keyFile);
            });
            run.Done($"issued a certificate for key {run.Terminal.ErrorStyle.Bold(Printable.Text(issued.Key.Name))} ({issued.Key.Id}) of {Printable.Text(issued.Key.Principal)}, ends {Figures.Since(issued.ExpiresAt, run.Now)}");
            run.Next($"bazel build --remote_cache=grpcs://… --tls_client_certificate={certificateFile} --tls_client_key={keyFile}", "with Bazel");
            run.Next($"slipway key revoke {issued.Key.Id}", "ends it at once");
            return ExitCodes.Ok;
        }
        catch when (made)
        {
            // A key that nobody can use is only something to find out about later.
            run.Terminal.Warn($"the key {id} was issued, but its certificate was not: slipway key revoke {id}");
            throw;
        }
    }
}
