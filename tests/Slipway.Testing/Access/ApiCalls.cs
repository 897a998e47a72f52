using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace Slipway.Testing;

/// <summary>Calls to an HTTP API as a test writes them: a token, a path, a body in JSON text.</summary>
public static class ApiCalls
{
    public static Task<HttpResponseMessage> CallAsync(
        this HttpClient client,
        string method,
        string path,
        string? token,
        string? body,
        CancellationToken cancellationToken,
        params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (token is not null)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        }

        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        // Headers only: event streams never end.
        return client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    /// <summary>The JSON of a call that must succeed.</summary>
    public static async Task<JsonObject> JsonAsync(
        this HttpClient client, string method, string path, string? token, string? body, CancellationToken cancellationToken, params (string Name, string Value)[] headers)
    {
        using var response = await client.CallAsync(method, path, token, body, cancellationToken, headers);
        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        return response.IsSuccessStatusCode
            ? JsonNode.Parse(text)!.AsObject()
            : throw new InvalidOperationException($"{method} {path}: {(int)response.StatusCode} {text}");
    }

    public static async Task<JsonObject> ReadJsonAsync(this HttpResponseMessage response, CancellationToken cancellationToken) =>
        JsonNode.Parse(await response.Content.ReadAsStringAsync(cancellationToken))!.AsObject();

    /// <summary>The text of a field that must be there.</summary>
    public static string Text(this JsonNode json, string name) => json[name]!.GetValue<string>();
}
