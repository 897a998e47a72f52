using System.Runtime.InteropServices;
using Slipway.Queue;
using static Slipway.Queue.Durability;
using static Slipway.Queue.JobPriority;

// Start a Redis (redis-server --appendonly yes --appendfsync always), then: dotnet run --project examples/TenLines
var mailer = new Mailer();
string[] rows = ["one", "two", "three"];
using var stop = new CancellationTokenSource();
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Stop(signal));
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Stop(signal));
var stoppingToken = stop.Token;

await using var q = await WorkQueue.ConnectAsync(args is [var server, ..] ? server : "localhost:6379");
q.Handle<SendEmail>(async (job, ct) => await mailer.SendAsync(job.Args, ct), o => o.Retries(5).Timeout("30s").Concurrency(50));
q.Handle<Import>((job, ct) => Console.Out.WriteLineAsync($"imported {job.Args.Row}"));
q.Handle<ImportDone>((job, ct) => Console.Out.WriteLineAsync("the import is complete"));
q.Handle<Cleanup>((job, ct) => Console.Out.WriteLineAsync("cleaned up"));
await q.EnqueueAsync(new SendEmail("a@b.c"));                                   // auto-batched
await q.EnqueueAsync(new SendEmail("a@b.c"), o => o.In("10m").Unique("mail:a@b.c").Priority(High).Durability(Fsync));
await q.EnqueueManyAsync(rows.Select(r => new Import(r)), batch: b => b.OnComplete(new ImportDone()));
q.Cron("nightly", "0 3 * * *", new Cleanup(), catchUp: CatchUp.Once);
await q.RunAsync(stoppingToken);                                                // worker loop, heartbeats, reaper

void Stop(PosixSignalContext signal)
{
    signal.Cancel = true;
    stop.Cancel();
}

internal sealed record SendEmail(string To);

internal sealed record Import(string Row);

internal sealed record ImportDone;

internal sealed record Cleanup;

internal sealed class Mailer
{
    public Task SendAsync(SendEmail mail, CancellationToken cancellationToken) => Console.Out.WriteLineAsync($"mail to {mail.To}".AsMemory(), cancellationToken);
}
