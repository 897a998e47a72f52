using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Shouldly;
using Slipway.Api;
using Xunit;

namespace Slipway.Server.Tests.Http;

public sealed class ProblemTests(RunningServer server) : IClassFixture<RunningServer>
{
    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("GET", "/nowhere", null, 404, "not_found")]
    [InlineData("GET", "/v1/nowhere", null, 404, "not_found")]
    [InlineData("DELETE", "/healthz", null, 405, "method_not_allowed")]
    [InlineData("POST", "/test/json", "text/plain|x", 415, "unsupported_media_type")]
    [InlineData("POST", "/test/json", "application/json|{", 400, "invalid_request")]
    [InlineData("POST", "/test/json", "application/json|", 400, "invalid_request")]
    [InlineData("GET", "/test/number/1?more=x", null, 400, "invalid_request")]
    [InlineData("GET", "/test/throw", null, 500, "internal")]
    [InlineData("GET", "/test/problem", null, 409, "conflict")]
    [InlineData("GET", "/test/database", null, 503, "unavailable")]
    [InlineData("PUT", "/test/refuse/507", null, 507, "store_full")]
    public async Task Every_failure_is_a_problem_with_a_code_and_a_request_id(string method, string path, string? body, int status, string code)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body?.Split('|') is [var type, var text])
        {
            request.Content = new StringContent(text, Encoding.UTF8, type);
        }

        using var response = await server.Client.SendAsync(request, CancellationToken);

        ((int)response.StatusCode).ShouldBe(status);
        response.Content.Headers.ContentType!.MediaType.ShouldBe(Problem.MediaType);
        var words = await response.Content.ReadAsStringAsync(CancellationToken);
        words.ShouldNotContain(TestEndpoints.Secret);
        var problem = JsonSerializer.Deserialize(words, ApiJson.Default.Problem)!;
        problem.Code.ShouldBe(code);
        problem.Status.ShouldBe(status);
        problem.Detail.ShouldNotBeNullOrEmpty();
        problem.Instance.ShouldBe(path.Split('?')[0]);
        problem.RequestId.ShouldNotBeNullOrEmpty();
        response.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
        response.Headers.Contains("Server").ShouldBeFalse();
        response.Headers.GetValues("X-Request-Id").ShouldBe([problem.RequestId!]);
    }

    [Fact]
    public async Task A_method_that_is_not_taken_names_those_that_are()
    {
        using var response = await server.Client.DeleteAsync("/healthz", CancellationToken);

        response.Content.Headers.Allow.ShouldContain("GET");
        (await response.Content.ReadFromJsonAsync(ApiJson.Default.Problem, CancellationToken))!.Hint!.ShouldContain("GET");
    }

    [Fact]
    public async Task An_outage_says_when_to_come_back()
    {
        using var response = await server.Client.GetAsync("/test/database", CancellationToken);

        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        (await response.Content.ReadFromJsonAsync(ApiJson.Default.Problem, CancellationToken))!.Retryable.ShouldBeTrue();
    }

    [Theory]
    [InlineData("""{"name":"acme","nmae":1}""", "/nmae", "is not a field of this request")]
    [InlineData("""{"name":7}""", "/name", "has the wrong type")]
    [InlineData("""{"displayName":"A"}""", "", "misses required fields: 'name'")]
    public async Task A_fault_of_the_body_is_pointed_at(string body, string pointer, string detail)
    {
        using var response = await server.Client.PostAsync("/test/json", new StringContent(body, Encoding.UTF8, "application/json"), CancellationToken);

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        var fault = (await response.Content.ReadFromJsonAsync(ApiJson.Default.Problem, CancellationToken))!.Errors.ShouldHaveSingleItem();
        fault.Pointer.ShouldBe(pointer);
        fault.Detail.ShouldStartWith(detail);
    }

    [Fact]
    public async Task A_body_over_the_limit_is_refused_with_413()
    {
        using var response = await server.Client.PutAsync("/test/read", new ByteArrayContent(new byte[(1 << 20) + 1]), CancellationToken);

        response.StatusCode.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        (await response.Content.ReadFromJsonAsync(ApiJson.Default.Problem, CancellationToken))!.Code.ShouldBe(ProblemCodes.TooLarge);
    }

    [Fact]
    public async Task Half_an_answer_never_looks_whole() =>
        await Should.ThrowAsync<HttpRequestException>(() => server.Client.GetStringAsync("/test/half", CancellationToken));

    [Theory]
    [InlineData("abc-123_X.y", true)]
    [InlineData("has space", false)]
    [InlineData("semi;colon", false)]
    public async Task A_sane_request_id_is_kept_and_any_other_replaced(string given, bool kept)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/healthz");
        request.Headers.TryAddWithoutValidation("X-Request-Id", given).ShouldBeTrue();
        using var response = await server.Client.SendAsync(request, CancellationToken);

        var answered = response.Headers.GetValues("X-Request-Id").ShouldHaveSingleItem();
        if (kept)
        {
            answered.ShouldBe(given);
        }
        else
        {
            answered.ShouldStartWith("req_");
        }
    }

    [Fact]
    public async Task Api_answers_are_not_kept_by_anybody_and_run_nothing()
    {
        using var response = await server.Client.GetAsync("/readyz", CancellationToken);

        response.Headers.CacheControl!.NoStore.ShouldBeTrue();
        response.Headers.GetValues("Content-Security-Policy").ShouldHaveSingleItem().ShouldContain("default-src 'none'");
    }
}
