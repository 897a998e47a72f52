using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.Cli.GoCache;
using Slipway.Testing;
using Xunit;

namespace Slipway.Cli.Tests;

/// <summary><c>slipway gocacheprog</c>, spoken to as the go command does.</summary>
public sealed class GoCacheTests
{
    private const string Unreachable = "http://127.0.0.1:1";

    private static readonly byte[] Action = SHA256.HashData("an action"u8);
    private static readonly string ActionHex = Convert.ToHexStringLower(Action);

    [Fact]
    public async Task What_was_put_is_got_from_the_folder_without_a_server()
    {
        using var cli = new CliRun { Input = Put(1, Action, Bytes(100_000)) + Get(2, Action) + Close(3) };

        (await RunAsync(cli, Unreachable)).ShouldBe(0, cli.Error);

        var answers = Answers(cli);
        answers[0]["KnownCommands"]!.AsArray().Select(command => command!.GetValue<string>()).ShouldBe(["get", "put", "close"]);
        var got = answers.Single(answer => answer["ID"]!.GetValue<long>() == 2);
        got["Size"]!.GetValue<long>().ShouldBe(100_000);
        Convert.FromBase64String(got["OutputID"]!.GetValue<string>()).ShouldBe(SHA256.HashData(Bytes(100_000)));
        File.ReadAllBytes(got["DiskPath"]!.GetValue<string>()).ShouldBe(Bytes(100_000));
        answers[^1]["ID"]!.GetValue<long>().ShouldBe(3, "close is answered last");
    }

    [Fact]
    public async Task Put_is_uploaded_before_close_is_answered_and_an_empty_output_too()
    {
        byte[]? uploaded = null;
        await using var server = await FakeApi.StartAsync(async http =>
        {
            if (http.Request.Method == "PUT" && http.Request.Path == $"/cache/acme/main/go/{ActionHex}")
            {
                using var body = new MemoryStream();
                await http.Request.Body.CopyToAsync(body);
                uploaded = body.ToArray();
            }

            http.Response.StatusCode = 201;
        });
        using var cli = new CliRun { Input = Put(1, Action, Bytes(5000)) + Put(2, SHA256.HashData("another"u8), []) + Close(3) };

        (await RunAsync(cli, server.Url)).ShouldBe(0, cli.Error);

        uploaded.ShouldBe(Bytes(5000));
        server.Requests.Count.ShouldBe(2);
        server.Requests.Single(request => request.Path.EndsWith(ActionHex, StringComparison.Ordinal)).Headers["X-Go-Output-Id"].ShouldBe(Convert.ToHexStringLower(SHA256.HashData(Bytes(5000))));
    }

    [Fact]
    public async Task Output_of_the_server_is_taken_only_when_it_has_the_hash_it_claims()
    {
        var lies = false;
        await using var server = await FakeApi.StartAsync(async http =>
        {
            http.Response.Headers["X-Go-Output-Id"] = Convert.ToHexStringLower(SHA256.HashData(lies ? Bytes(1) : Bytes(2000)));
            await http.Response.Body.WriteAsync(Bytes(2000));
        });
        using var honest = new CliRun { Input = Get(1, Action) + Close(2) };
        (await RunAsync(honest, server.Url)).ShouldBe(0, honest.Error);
        File.ReadAllBytes(Answers(honest)[1]["DiskPath"]!.GetValue<string>()).ShouldBe(Bytes(2000));

        lies = true;
        using var cheated = new CliRun { Input = Get(1, Action) + Close(2) };
        (await RunAsync(cheated, server.Url)).ShouldBe(0, cheated.Error);
        Answers(cheated)[1]["Miss"]!.GetValue<bool>().ShouldBeTrue();
    }

    [Fact]
    public async Task Refusal_is_said_once_and_nothing_more_is_asked()
    {
        await using var server = await FakeApi.StartAsync(http =>
        {
            http.Response.StatusCode = 403;
            return http.Response.WriteAsync("This key lacks the scope buildcache:read:acme/main.");
        });
        // One after the other: the next request is read when the answer to the first is known.
        using var cli = new CliRun { Input = string.Concat(Enumerable.Range(1, 200).Select(id => Get(id, SHA256.HashData([(byte)id])))) + Close(999) };

        (await RunAsync(cli, server.Url)).ShouldBe(0, cli.Error);

        Answers(cli).Count(answer => answer["Miss"] is not null).ShouldBe(200);
        cli.Error.Split('\n').Count(line => line.Contains("lacks the scope", StringComparison.Ordinal)).ShouldBe(1, cli.Error);
        server.Requests.Count.ShouldBeLessThan(200);
    }

    [Fact]
    public async Task Body_that_is_not_what_its_id_says_is_refused()
    {
        var put = Put(1, Action, Bytes(10)).Replace(Convert.ToBase64String(SHA256.HashData(Bytes(10))), Convert.ToBase64String(new byte[32]), StringComparison.Ordinal);
        using var cli = new CliRun { Input = put + Get(2, Action) + Close(3) };

        (await RunAsync(cli, Unreachable)).ShouldBe(0, cli.Error);

        Answers(cli)[1]["Err"]!.GetValue<string>().ShouldContain("SHA-256");
        Answers(cli).Single(answer => answer["ID"]!.GetValue<long>() == 2)["Miss"]!.GetValue<bool>().ShouldBeTrue();
    }

    [Fact]
    public void Trimming_takes_what_was_used_longest_ago_and_never_what_was_used_lately()
    {
        using var folder = new TempFolder();
        var time = new ManualTimeProvider(DateTimeOffset.UtcNow);
        var cache = new GoFolder(folder.Path, time);
        var places = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in (string[])["oldest", "older", "new"])
        {
            var file = cache.NewFile();
            File.WriteAllBytes(file, Bytes(10_000));
            var id = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)));
            var kept = cache.Keep(id, id, file);
            var used = time.GetUtcNow().UtcDateTime - TimeSpan.FromHours(name switch { "oldest" => 48, "older" => 24, _ => 1 });
            places[name] = kept.DiskPath;
            File.SetLastWriteTimeUtc(kept.DiskPath, used);
            File.SetLastWriteTimeUtc(kept.DiskPath[..^1] + "a", used);
        }

        cache.Trim(23_000);
        Left().ShouldBe(["older", "new"]);
        cache.Trim(1);
        Left().ShouldBe(["new"], "a go command may still have it open");

        IEnumerable<string> Left() => places.Where(place => File.Exists(place.Value)).Select(place => place.Key);
    }

    private static Task<int> RunAsync(CliRun cli, string url)
    {
        cli.Variables["SLIPWAY_URL"] = url;
        return cli.RunAsync("gocacheprog", "acme/main");
    }

    private static List<JsonObject> Answers(CliRun cli) => [.. cli.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject())];

    private static byte[] Bytes(int length) => [.. Enumerable.Range(0, length).Select(i => (byte)(i * 31))];

    // As Go's encoder writes it: a line, an empty line, and the body on a line of its own.
    private static string Put(long id, byte[] action, byte[] body) =>
        $$"""{"ID":{{id}},"Command":"put","ActionID":"{{Convert.ToBase64String(action)}}","OutputID":"{{Convert.ToBase64String(SHA256.HashData(body))}}"{{(body.Length > 0 ? $",\"BodySize\":{body.Length}" : "")}}}""" + "\n\n"
        + (body.Length > 0 ? $"\"{Convert.ToBase64String(body)}\"\n" : "");

    private static string Get(long id, byte[] action) => $$"""{"ID":{{id}},"Command":"get","ActionID":"{{Convert.ToBase64String(action)}}"}""" + "\n\n";

    private static string Close(long id) => $$"""{"ID":{{id}},"Command":"close"}""" + "\n\n";
}
