using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests;

/// <summary><c>slipway push</c>, the real program, and the archives behind it.</summary>
public sealed class SlipwayPushTests(Acme acme, NixLab nix) : IClassFixture<Acme>, IClassFixture<NixLab>
{
    [Fact]
    public async Task Pushed_closure_is_substituted_by_stock_nix()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("pushed");

        (await PushAsync(cache, nix.Chain)).ShouldSucceed();

        await ShouldSubstituteAsync(cache, nix.Chain, 3);
    }

    [Fact]
    public async Task Closure_of_2001_paths_goes_in_once_and_the_second_push_sends_nothing()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("tree");

        (await PushAsync(cache, nix.Tree)).ShouldSucceed();

        var again = await PushAsync(cache, nix.Tree, "--json");
        again.ShouldSucceed();
        JsonNode.Parse(again.Output)!["pushed"]!.AsValue().GetValue<int>().ShouldBe(0, again.ToString());
        (await nix.NixAsync("nix", "path-info", "-r", "--store", cache.Url.ToString(), nix.Tree)).ShouldSucceed()
            .Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(2001);
    }

    [Fact]
    public async Task What_stock_nix_pushed_is_not_pushed_again_and_the_other_way_round()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("both");
        (await nix.NixAsync("nix", ["copy", "--to", cache.PushUrl, nix.Chain], nix.Netrc(acme.Key))).ShouldSucceed();

        var pushed = (await PushAsync(cache, nix.Chain, "--json")).ShouldSucceed();

        JsonNode.Parse(pushed.Output)!["pushed"]!.GetValue<int>().ShouldBe(0, pushed.ToString());
    }

    [Fact]
    public async Task Paths_of_other_names_with_the_same_contents_go_in_together()
    {
        NixLab.RequireNix();
        var cache = await acme.CacheAsync("twins");
        var paths = new List<string>();
        foreach (var name in (string[])["twin-a", "twin-b"])
        {
            paths.Add((await nix.NixAsync("nix-instantiate", "--eval", "--read-write-mode", "-E", $"builtins.toFile \"{name}\" \"the same\"")).ShouldSucceed().Output.Trim().Trim('"'));
        }

        (await acme.Server.CliAsync(acme.Key, ["push", cache.Name, .. paths], nix.Environment)).ShouldSucceed();

        foreach (var path in paths)
        {
            await ShouldSubstituteAsync(cache, path, 1);
        }
    }

    [Fact]
    public async Task Unfinished_upload_goes_on_where_the_server_has_it()
    {
        var cache = await acme.CacheAsync("resume");
        using var client = acme.Server.Client(acme.Key);
        var archive = await CreateAsync(client, cache, "key-1");

        using (var first = await AppendAsync(client, cache, archive, 0, "slipway-arch"u8.ToArray(), complete: false))
        {
            first.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        }

        (await CreateAsync(client, cache, "key-1"))["offset"]!.GetValue<long>().ShouldBe(12);
        using (var wrong = await AppendAsync(client, cache, archive, 3, "x"u8.ToArray(), complete: false))
        {
            wrong.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        }

        using var last = await AppendAsync(client, cache, archive, 12, "ive-1\n"u8.ToArray(), complete: true);
        last.StatusCode.ShouldBe(HttpStatusCode.Accepted);
        var done = await client.GetFromJsonAsync<JsonObject>(Path(cache, archive) + "?wait=30", TestContext.Current.CancellationToken);
        done!["state"]!.GetValue<string>().ShouldBe("done");
    }

    [Fact]
    public async Task Archive_that_is_none_fails_with_the_reason_and_leaves_nothing()
    {
        var cache = await acme.CacheAsync("junk");
        using var client = acme.Server.Client(acme.Key);
        var archive = await CreateAsync(client, cache, "key-1");

        using var sent = await AppendAsync(client, cache, archive, 0, new byte[100], complete: true);

        var done = await client.GetFromJsonAsync<JsonObject>(Path(cache, archive) + "?wait=30", TestContext.Current.CancellationToken);
        done!["state"]!.GetValue<string>().ShouldBe("failed");
        done["problem"]!["detail"]!.GetValue<string>().ShouldContain("not a push archive");
        Directory.GetFiles(System.IO.Path.Combine(acme.Server.DataFolder, "uploads")).ShouldBeEmpty();
    }

    private async Task<Ran> PushAsync(NixCacheUnderTest cache, string path, params string[] more) =>
        await acme.Server.CliAsync(acme.Key, ["push", cache.Name, path, .. more], nix.Environment);

    private async Task ShouldSubstituteAsync(NixCacheUnderTest cache, string path, int paths)
    {
        var store = nix.EmptyStore();
        (await nix.NixAsync("nix-store", "--store", store, "--realise", path, "--option", "substituters", cache.Url.ToString(), "--option", "trusted-public-keys", cache.PublicKey)).ShouldSucceed();
        (await nix.NixAsync("nix-store", "--store", store, "-qR", path)).ShouldSucceed().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length.ShouldBe(paths);
    }

    private static async Task<JsonObject> CreateAsync(HttpClient client, NixCacheUnderTest cache, string resumeKey)
    {
        using var answer = await client.PostAsJsonAsync($"/v1/orgs/{cache.Name.Replace("/", "/caches/", StringComparison.Ordinal)}/archives", new { resumeKey, paths = 1 }, JsonSerializerOptions.Web, TestContext.Current.CancellationToken);
        answer.StatusCode.ShouldBe(HttpStatusCode.Created);
        return (await answer.Content.ReadFromJsonAsync<JsonObject>(TestContext.Current.CancellationToken))!;
    }

    private static async Task<HttpResponseMessage> AppendAsync(HttpClient client, NixCacheUnderTest cache, JsonObject archive, long offset, byte[] bytes, bool complete)
    {
        using var request = new HttpRequestMessage(HttpMethod.Patch, Path(cache, archive) + "/content") { Content = new ByteArrayContent(bytes) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/partial-upload");
        request.Headers.Add("Upload-Offset", offset.ToString(System.Globalization.CultureInfo.InvariantCulture));
        request.Headers.Add("Upload-Complete", complete ? "?1" : "?0");
        return await client.SendAsync(request, TestContext.Current.CancellationToken);
    }

    private static string Path(NixCacheUnderTest cache, JsonObject archive) =>
        $"/v1/orgs/{cache.Name.Replace("/", "/caches/", StringComparison.Ordinal)}/archives/{archive["id"]!.GetValue<string>()}";
}
