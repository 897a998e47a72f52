using System.Net;
using System.Security.Cryptography;
using Shouldly;
using Slipway.Grpc;
using Slipway.Server.Configuration;
using Slipway.Testing;
using Xunit;

namespace Slipway.Server.Tests.Tls;

public sealed class TlsTests(TlsServer server) : IClassFixture<TlsServer>
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task One_port_serves_HTTP_1_and_HTTP_2_and_gRPC()
    {
        server.Url.Scheme.ShouldBe("https");
        server.Running.Server.GrpcUrl.ShouldBe(server.Url);
        foreach (var version in (Version[])[HttpVersion.Version11, HttpVersion.Version20])
        {
            using var client = server.Connect(null).Client;
            using var request = new HttpRequestMessage(HttpMethod.Get, "/healthz") { Version = version, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
            using var answer = await client.SendAsync(request, Token);
            (answer.StatusCode, answer.Version).ShouldBe((HttpStatusCode.OK, version));
        }

        using var channel = server.Channel(null);
        (await channel.UnaryAsync("/grpc.health.v1.Health/Check", default, GrpcCallOptions.None, Token)).ShouldBe(new byte[] { 8, 1 });
    }

    [Fact]
    public async Task A_client_certificate_acts_as_its_key_until_that_is_revoked()
    {
        var key = await server.NewKeyAsync();
        using var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var issued = await server.IssueAsync(key.Id, pair);
        issued.Status.ShouldBe(HttpStatusCode.Created, issued.Answer.ToJsonString());
        using var certificate = issued.Certificate.ShouldNotBeNull();
        certificate.Subject.ShouldContain(key.Prefix);
        certificate.NotAfter.ToUniversalTime().ShouldBe(issued.Answer["key"]!["expiresAt"]!.GetValue<DateTimeOffset>().UtcDateTime, TimeSpan.FromSeconds(1));
        using var client = server.Connect(certificate).Client;
        using (var answer = await client.GetAsync(new Uri("/v1/whoami", UriKind.Relative), Token))
        {
            var text = await answer.Content.ReadAsStringAsync(Token);
            answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
            text.ShouldContain(key.Id);
        }

        // Keys may not issue keys, and a certificate is one.
        using (var refused = await client.GetAsync(new Uri("/v1/keys", UriKind.Relative), Token))
        {
            refused.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        }

        using (var admin = server.Admin())
        {
            (await admin.DeleteAsync(new Uri("/v1/keys/" + key.Id, UriKind.Relative), Token)).EnsureSuccessStatusCode();
        }

        // On the same connection.
        using var after = await client.GetAsync(new Uri("/v1/whoami", UriKind.Relative), Token);
        after.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await server.IssueAsync(key.Id, pair)).Status.ShouldBe(HttpStatusCode.Conflict);
    }

    [Fact]
    public async Task A_certificate_of_a_configured_authority_acts_as_the_key_it_names()
    {
        var key = await server.NewKeyAsync();
        using var certificate = TlsServer.Forge(server.CustomerAuthority, key.Prefix);
        using var client = server.Connect(certificate).Client;
        (await client.GetStringAsync(new Uri("/v1/whoami", UriKind.Relative), Token)).ShouldContain(key.Id);
        using var nobody = TlsServer.Forge(server.CustomerAuthority, "somebody");
        using var nameless = server.Connect(nobody).Client;
        using var answer = await nameless.GetAsync(new Uri("/v1/whoami", UriKind.Relative), Token);
        answer.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task A_certificate_of_an_unknown_authority_does_not_get_in()
    {
        var key = await server.NewKeyAsync();
        using var authority = TlsServer.NewAuthority("Slipway client certificates");
        using var certificate = TlsServer.Forge(authority, key.Prefix);
        using var client = server.Connect(certificate).Client;
        await Should.ThrowAsync<HttpRequestException>(() => client.GetAsync(new Uri("/healthz", UriKind.Relative), Token));
    }

    [Fact]
    public async Task A_weak_key_gets_no_certificate()
    {
        var key = await server.NewKeyAsync();
        using var weak = RSA.Create(1024);
        var refused = await server.IssueAsync(key.Id, weak);
        refused.Status.ShouldBe(HttpStatusCode.BadRequest);
        refused.Answer.ToJsonString().ShouldContain("/signingRequest");
    }

    [Fact]
    public async Task A_renewed_certificate_is_used_at_once_and_a_broken_one_never()
    {
        (await SeenAsync()).ShouldNotBeNull();
        var renewed = server.RenewServerCertificate();
        (await SeenAsync()).ShouldBe(renewed);
        server.BreakServerCertificate();
        (await SeenAsync()).ShouldBe(renewed);
        renewed = server.RenewServerCertificate();
        (await SeenAsync()).ShouldBe(renewed);

        async Task<string?> SeenAsync()
        {
            var (client, seen) = server.Connect(null);
            using (client)
            {
                (await client.GetAsync(new Uri("/healthz", UriKind.Relative), Token)).EnsureSuccessStatusCode();
                return seen();
            }
        }
    }

    [Fact]
    public void Half_a_configuration_is_a_fault()
    {
        var faults = ConfigurationLoader.Load(
            null, new Dictionary<string, string>(), [new("tls.certificate", "/etc/slipway/server.crt", new(OriginKind.Flag, "test"))]).Faults;
        faults.ShouldHaveSingleItem().Cure.ShouldContain("tls.key");
    }

    [Fact]
    public async Task Files_that_are_no_certificate_stop_the_start_with_a_reason()
    {
        using var folder = new TempFolder();
        await File.WriteAllTextAsync(folder.File("x.crt"), "nothing", Token);
        await using var running = new RunningServer();
        var fault = await Should.ThrowAsync<IOException>(async () =>
            await running.StartAsync(TestEndpoints.Map, ("tls.certificate", folder.File("x.crt")), ("tls.key", folder.File("x.crt"))));
        fault.Message.ShouldContain("x.crt");
    }
}
