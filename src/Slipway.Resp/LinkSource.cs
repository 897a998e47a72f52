namespace Slipway.Resp;

/// <summary>Where a connection gets its next link from: one address for ever, or whoever is the right server by now.</summary>
internal interface ILinkSource : IAsyncDisposable
{
    /// <exception cref="RespConnectionException">Not now.</exception>
    Task<RespLink> OpenAsync(CancellationToken cancellationToken);

    /// <summary>The connection that these links are for begins its work: hints about a better server go there.</summary>
    void Attach(RespConnection connection);
}

/// <summary>Always the same server.</summary>
internal sealed class OneServer(RespEndpoint endpoint, RespCredentials? credentials, int database, RespOptions options) : ILinkSource
{
    public Task<RespLink> OpenAsync(CancellationToken cancellationToken) =>
        RespLink.OpenAsync(endpoint, credentials, database, options, cancellationToken);

    public void Attach(RespConnection connection)
    {
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public override string ToString() => endpoint.ToString();
}
