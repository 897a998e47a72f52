using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Slipway.Api;
using Xunit;

namespace Slipway.Cli.Tests;

/// <summary>A server on loopback that answers as a test says.</summary>
internal sealed class FakeApi : IAsyncDisposable
{
    private readonly WebApplication app;

    private FakeApi(WebApplication app) => this.app = app;

    public string Url => app.Urls.Single();

    /// <summary>What was asked, in order: method, path and query, headers.</summary>
    public ConcurrentQueue<(string Method, string Path, IDictionary<string, string> Headers)> Requests { get; } = new();

    public static async Task<FakeApi> StartAsync(Func<HttpContext, Task> answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var fake = new FakeApi(app);
        app.Run(async http =>
        {
            fake.Requests.Enqueue((
                http.Request.Method,
                http.Request.Path + http.Request.QueryString,
                http.Request.Headers.ToDictionary(pair => pair.Key, pair => pair.Value.ToString(), StringComparer.OrdinalIgnoreCase)));
            await answer(http);
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        return fake;
    }

    public static Task AnswerAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type, int status = 200)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        return http.Response.Body.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(value, type), http.RequestAborted).AsTask();
    }

    public static Task RefuseAsync(HttpContext http, int status, string code, string detail)
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = Problem.MediaType;
        return http.Response.Body.WriteAsync(
            JsonSerializer.SerializeToUtf8Bytes(
                new Problem { Title = "no", Status = status, Code = code, Detail = detail, RequestId = "req-1" }, ApiJson.Default.Problem),
            http.RequestAborted).AsTask();
    }

    public async ValueTask DisposeAsync() => await app.DisposeAsync();
}
