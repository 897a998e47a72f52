using System.Text.Json.Nodes;

namespace Slipway.Grpc.Tests;

/// <summary>Our server and a client that is not ours.</summary>
[Trait("speed", "slow")]
public sealed class ForeignClientTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_foreign_client_gets_what_gRPC_promises()
    {
        var health = new GrpcHealth();
        health.Set("slipway.test.Echo", GrpcServing.Serving);
        var reflection = new GrpcReflection();
        reflection.Add(EchoDescriptor());
        await using var server = await GrpcServer.StartAsync(app =>
        {
            EchoService.Map(app);
            app.MapGrpcHealth(health);
            app.MapGrpcReflection(reflection);
        });
        using var client = await ForeignNode.StartAsync("client.js", server.Url.Authority);
        var errors = client.StandardError.ReadToEndAsync(Token);
        string? line = null;
        while (await client.StandardOutput.ReadLineAsync(Token) is { } next)
        {
            line = next;
            if (next == "watching")
            {
                health.Set("slipway.test.Echo", GrpcServing.NotServing);
            }
        }

        await client.WaitForExitAsync(Token);
        client.ExitCode.ShouldBe(0, await errors);
        var results = JsonNode.Parse(line.ShouldNotBeNull())!;
        string Of(string name) => results[name]!.ToJsonString(new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        Of("unary").ShouldBe("""{"text":"grüß","count":3}""");
        Of("serverStream").ShouldBe("""{"count":1000,"last":{"text":"x","count":1000},"code":0,"details":""}""");
        Of("clientStream").ShouldContain("\"count\":100");
        Of("bidi").ShouldBe("""{"seen":[1,2,3,4,5,6,7,8,9,10],"code":0}""");
        Of("metadata").ShouldBe("""{"header":"plain","first":"00ff01","second":"09"}""");
        Of("large").ShouldBe($"{6 << 20}");
        Of("tooLarge").ShouldContain("\"code\":8");
        results["fail"]!["code"]!.GetValue<int>().ShouldBe(5);
        results["fail"]!["details"]!.GetValue<string>().ShouldBe("not here: ✓ 100 %");
        StatusTrailers.DecodeDetails(Convert.FromHexString(results["fail"]!["rich"]!.GetValue<string>())).Count.ShouldBe(2);
        Of("failLate").ShouldBe("""{"count":1,"last":{"text":"too late","count":9},"code":9,"details":"too late"}""");
        results["thrown"]!["code"]!.GetValue<int>().ShouldBe(13);
        Of("thrown").ShouldNotContain("internal-detail");
        Of("deadline").ShouldBe("4");
        Of("cancelled").ShouldBe("1");
        Of("gzip").ShouldBe("200000");
        Of("deflate").ShouldBe("12");
        Of("keepalive").ShouldBe("[0,1,2]");
        Of("health").ShouldBe("\"SERVING\"");
        Of("noHealth").ShouldBe("5");
        Of("watch").ShouldBe("""["SERVING","NOT_SERVING"]""");
        Of("reflection").ShouldBe(
            """{"services":["grpc.health.v1.Health","grpc.reflection.v1.ServerReflection","grpc.reflection.v1alpha.ServerReflection","slipway.test.Echo"],"file":1,"missing":5}""");
        Of("parallel").ShouldBe("2000");
    }

    // FileDescriptorProto of echo.proto, as far as symbols go.
    private static byte[] EchoDescriptor()
    {
        var message = new ProtoWriter();
        message.Text(1, "Note");
        var file = new ProtoWriter();
        file.Text(1, "echo.proto");
        file.Text(2, "slipway.test");
        file.Bytes(4, message.Written);
        return file.ToArray();
    }
}
