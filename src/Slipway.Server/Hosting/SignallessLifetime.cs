using Microsoft.Extensions.Hosting;

namespace Slipway.Server.Hosting;

/// <summary>
/// Keeps the host's hands off signals: <see cref="StopSignals"/> has them. The stock console lifetime would announce the end to every
/// request at once, before <c>/readyz</c> had a chance to.
/// </summary>
internal sealed class SignallessLifetime : IHostLifetime
{
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
