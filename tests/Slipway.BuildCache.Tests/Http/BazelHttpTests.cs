using System.Net;
using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.Tests.Reapi;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Testing;
using Xunit;
using static Slipway.BuildCache.Tests.Reapi.ReapiClient;

namespace Slipway.BuildCache.Tests.Http;

/// <summary>Bazel's HTTP cache, where its rules are those of the gRPC one.</summary>
[Collection(nameof(ReapiCollection))]
public sealed class BazelHttpTests(BuildCacheServer server)
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_client_that_takes_gzip_gets_the_bytes_as_they_are()
    {
        using var client = await NewAsync(server);
        foreach (var bytes in (byte[][])[Text(5000), Text(3_000_000)])
        {
            var digest = await client.PutAsync(bytes);
            using var answer = await server.Client.CallAsync("GET", $"/cache/{client.Instance}/cas/{digest.Hash}", server.Owner, null, CancellationToken, ("Accept-Encoding", "gzip"));
            answer.Content.Headers.ContentEncoding.ShouldBeEmpty();
            answer.Content.Headers.ContentLength.ShouldBe(bytes.Length);
            (await answer.Content.ReadAsByteArrayAsync(CancellationToken)).ShouldBe(bytes);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_result_whose_blob_was_lost_is_a_miss_until_the_blob_is_back(bool validates)
    {
        using var client = await ClientAsync(validates);
        var output = Bytes(60, seed: 6);
        var result = Result(output);
        var path = $"ac/{Sha256Of(Bytes(1)).Hash}";
        await client.PutAsync(output);
        (await PutAsync(client, path, result)).ShouldBe(HttpStatusCode.OK);
        (await GetAsync(client, path)).Status.ShouldBe(200);
        client.Space.Remove(KeyOf(Sha256Of(output))).ShouldBeTrue();
        (await GetAsync(client, path)).Status.ShouldBe(404);
        await client.PutAsync(output);
        (await GetAsync(client, path)).Status.ShouldBe(200);
    }

    [Fact]
    public async Task Without_validation_a_result_that_comes_before_its_outputs_is_a_miss_until_they_are_here()
    {
        using var client = await ClientAsync(validates: false);
        var output = Bytes(60, seed: 7);
        var result = Result(output);
        var path = $"ac/{Sha256Of(Bytes(1)).Hash}";
        (await PutAsync(client, path, result)).ShouldBe(HttpStatusCode.OK);
        (await GetAsync(client, path)).Status.ShouldBe(404);
        await client.PutAsync(output);
        (await GetAsync(client, path)).ShouldSatisfyAllConditions(got => got.Status.ShouldBe(200), got => got.Body.ShouldBe(result));
        client.Space.Remove(KeyOf(Sha256Of(output))).ShouldBeTrue();
        (await GetAsync(client, path)).Status.ShouldBe(404);
        // What comes later counts, whatever it is.
        (await PutAsync(client, path, [0xCC, 0xAC, 0x02])).ShouldBe(HttpStatusCode.OK);
        (await GetAsync(client, path)).Body.ShouldBe([0xCC, 0xAC, 0x02]);
        (await PutAsync(client, path, result)).ShouldBe(HttpStatusCode.OK);
        (await GetAsync(client, path)).Status.ShouldBe(404);
    }

    [Theory]
    [InlineData(new byte[0])]
    [InlineData(new byte[] { 0x20, 0x03 })]
    [InlineData(new byte[] { 0xCC, 0xAC, 0x01 })]
    public async Task Without_validation_bytes_come_back_as_they_were_put_also_when_they_read_like_a_result(byte[] bytes)
    {
        using var client = await ClientAsync(validates: false);
        var path = $"ac/{Sha256Of(Bytes(2)).Hash}";
        (await PutAsync(client, path, bytes)).ShouldBe(HttpStatusCode.OK);
        (await GetAsync(client, path)).ShouldSatisfyAllConditions(got => got.Status.ShouldBe(200), got => got.Body.ShouldBe(bytes));
    }

    [Fact]
    public async Task What_one_protocol_has_stored_the_other_one_serves()
    {
        using var client = await ClientAsync(validates: true);
        var output = Bytes(60, seed: 8);
        await client.PutAsync(output);
        var action = Sha256Of(Bytes(77, seed: 8));
        await client.UpdateActionAsync(action, ActionResult.Parser.ParseFrom(Result(output)));
        ActionResult.Parser.ParseFrom((await GetAsync(client, $"ac/{action.Hash}")).Body).OutputFiles.Single().Digest.ShouldBe(Sha256Of(output));
        var second = Sha256Of(Bytes(78, seed: 8));
        (await PutAsync(client, $"ac/{second.Hash}", Result(output))).ShouldBe(HttpStatusCode.OK);
        (await client.GetActionAsync(second)).OutputFiles.Single().Digest.ShouldBe(Sha256Of(output));
        // The cache of a branch has results of its own.
        (await GetAsync(client, $"branch/ac/{action.Hash}")).Status.ShouldBe(404);
    }

    private Task<ReapiClient> ClientAsync(bool validates) => NewAsync(server, $"\"validateActions\":{(validates ? "true" : "false")}");

    private static byte[] Result(byte[] output) => new ActionResult { OutputFiles = { new OutputFile { Path = "o", Digest = Sha256Of(output) } } }.ToByteArray();

    private async Task<HttpStatusCode> PutAsync(ReapiClient client, string path, byte[] bytes)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/cache/{client.Instance}/{path}") { Content = new ByteArrayContent(bytes), Headers = { Authorization = new("Bearer", client.Token) } };
        using var answer = await server.Client.SendAsync(request, CancellationToken);
        return answer.StatusCode;
    }

    private async Task<(int Status, byte[] Body)> GetAsync(ReapiClient client, string path)
    {
        using var answer = await server.Client.CallAsync("GET", $"/cache/{client.Instance}/{path}", client.Token, null, CancellationToken);
        return ((int)answer.StatusCode, await answer.Content.ReadAsByteArrayAsync(CancellationToken));
    }
}
