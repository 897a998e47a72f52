namespace Slipway.Queue;

/// <summary>A worker that is alive but deaf looks well to everybody else: this is how a server's readiness sees it.</summary>
/// <param name="Queue">Whose jobs it runs.</param>
/// <param name="Since">Time since its fetch loop last got an answer; zero while it needs none because it is busy.</param>
public sealed record WorkerProgress(string Queue, Func<TimeSpan> Since);
