using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.DeadLetters;

/// <summary><c>slipway jobs redrive QUEUE</c></summary>
internal sealed class RedriveJobs : DeadLettersVerb
{
    private readonly Option<double?> rate;

    public RedriveJobs()
        : base("redrive", "Put dead letters back to work, with all their attempts")
    {
        rate = PerSecond("--rate", "At most so many jobs a second, so that they don't bury what comes in; no limit unless given");
    }

    public override IReadOnlyList<string> Examples => ["jobs redrive acme/mail --reason timeout --rate 50/s", "jobs redrive acme/mail --id 1763-0", "jobs redrive acme/mail --dry-run"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(Queue));
        var affected = await CountAsync(run, org, name, cancellationToken);
        if (affected.Count == 0 || run.Get(DryRun))
        {
            run.Done(affected.Count == 0 ? $"no such dead letters in {org}/{name}: nothing to redrive" : $"would put back {affected.Words} of {org}/{name}");
            ShowReasons(run, affected);
            return ExitCodes.Ok;
        }

        var operation = await run.Client.RedriveAsync(org, name, new RedriveRequest(GivenIds(run), run.Get(Reason), run.Get(Type), run.Get(rate)), cancellationToken);
        return await FollowAsync(run, org, name, operation, affected.More ? 0 : affected.Count, "put back", cancellationToken);
    }
}
