using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Api;
using Xunit;

namespace Slipway.Cli.Tests;

public sealed class CertificateTests
{
    private static readonly DateTimeOffset Then = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Key Issued = new("key_1", "ci", "slp_s_0123456789abcdef", "service_account", "robot", ["buildcache:read:acme/*"], "active", Then, Then.AddDays(90), null, null);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/v1/keys", "--scope", "org:read:acme")]
    [InlineData("/v1/orgs/acme/service-accounts/robot/keys", "--scope", "org:read:acme", "--service-account", "robot", "--org", "acme")]
    [InlineData("/v1/keys", "--key", "key_1")]
    public async Task Cert_issue_writes_a_certificate_and_the_private_key_it_made(string keys, params string[] arguments)
    {
        await using var api = await FakeApi.StartAsync(async http =>
        {
            if (http.Request.Path == keys)
            {
                await FakeApi.AnswerAsync(http, new IssuedKey("slp_s_secret", Issued), ApiJson.Default.IssuedKey, 201);
            }
            else if (http.Request.Path == keys + "/key_1/certificate")
            {
                await FakeApi.AnswerAsync(http, new IssuedCertificate(await SignAsync(http), "authority\n", Then.AddDays(90), Issued), ApiJson.Default.IssuedCertificate, 201);
            }
            else
            {
                await FakeApi.RefuseAsync(http, 404, ProblemCodes.NotFound, "no such thing");
            }
        });
        using var cli = new CliRun();
        cli.Variables["SLIPWAY_TOKEN"] = "slp_t_any";
        var folder = cli.HomeFile("certificates");
        (await cli.RunAsync(["cert", "issue", "ci", "--out", folder, "--url", api.Url, .. arguments])).ShouldBe(ExitCodes.Ok, cli.Error);

        cli.Out.ShouldContain(Path.Combine(folder, "ci.crt"));
        (cli.Out + cli.Error).ShouldNotContain("slp_s_secret");
        File.GetUnixFileMode(Path.Combine(folder, "ci.key")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        using var pair = X509Certificate2.CreateFromPemFile(Path.Combine(folder, "ci.crt"), Path.Combine(folder, "ci.key"));
        pair.HasPrivateKey.ShouldBeTrue();
        (await File.ReadAllTextAsync(Path.Combine(folder, "slipway-authority.crt"), Token)).ShouldBe("authority\n");
        api.Requests.Count(request => request.Method == "POST").ShouldBe(arguments.Contains("--key") ? 1 : 2);
    }

    [Fact]
    public async Task A_key_without_its_certificate_is_told_of()
    {
        await using var api = await FakeApi.StartAsync(http => http.Request.Path == "/v1/keys"
            ? FakeApi.AnswerAsync(http, new IssuedKey("slp_s_secret", Issued), ApiJson.Default.IssuedKey, 201)
            : FakeApi.RefuseAsync(http, 403, ProblemCodes.Forbidden, "not you"));
        using var cli = new CliRun();
        cli.Variables["SLIPWAY_TOKEN"] = "slp_t_any";
        (await cli.RunAsync("cert", "issue", "ci", "--scope", "org:read:acme", "--out", cli.HomeFile("c"), "--url", api.Url)).ShouldNotBe(ExitCodes.Ok);
        cli.Error.ShouldContain("slipway key revoke key_1");
        Directory.GetFiles(cli.HomeFile("c")).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("cert issue ci")]
    [InlineData("cert issue ci --scope org:read:acme --key key_1")]
    [InlineData("cert issue a/b --key key_1")]
    public async Task Cert_issue_wants_one_key_and_a_plain_name(string line)
    {
        using var cli = new CliRun();
        (await cli.RunAsync(line.Split(' '))).ShouldBe(ExitCodes.Usage);
    }

    // What the server does, as far as the client sees it: the public key of the request, signed.
    private static async Task<string> SignAsync(HttpContext http)
    {
        var asked = (await JsonSerializer.DeserializeAsync(http.Request.Body, ApiJson.Default.IssueCertificateRequest, Token))!;
        var request = CertificateRequest.LoadSigningRequestPem(asked.SigningRequest, HashAlgorithmName.SHA256);
        using var authority = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var made = request.Create(request.SubjectName, X509SignatureGenerator.CreateForECDsa(authority), Then, Then.AddDays(90), [1]);
        return made.ExportCertificatePem() + "\n";
    }
}
