using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs.DeadLetters;

/// <summary><c>slipway jobs purge-dlq QUEUE</c></summary>
internal sealed class PurgeDeadLetters : DeadLettersVerb
{
    private readonly Option<bool> yes;

    public PurgeDeadLetters()
        : base("purge-dlq", "Forget dead letters for good")
    {
        yes = YesFlag();
    }

    public override string Remarks => "Works in bounded steps: safe while producers and workers are at full speed.";

    public override IReadOnlyList<string> Examples => ["jobs purge-dlq acme/mail --dry-run", "jobs purge-dlq acme/mail --reason timeout", "jobs purge-dlq acme/mail --type send --yes"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var (org, name) = run.Queue(run.Get(Queue));
        var affected = await CountAsync(run, org, name, cancellationToken);
        if (affected.Count == 0 || run.Get(DryRun))
        {
            run.Done(affected.Count == 0 ? $"no such dead letters in {org}/{name}: nothing to purge" : $"would forget {affected.Words} of {org}/{name}");
            ShowReasons(run, affected);
            return ExitCodes.Ok;
        }

        if (!run.Get(yes))
        {
            ShowReasons(run, affected);
            run.Confirm($"{affected.Words} of {org}/{name} will be gone for good.", $"{org}/{name}", yes: false);
        }

        var operation = await run.Client.PurgeDeadLettersAsync(org, name, new PurgeDeadRequest(GivenIds(run), run.Get(Reason), run.Get(Type)), cancellationToken);
        return await FollowAsync(run, org, name, operation, affected.More ? 0 : affected.Count, "purged", cancellationToken);
    }
}
