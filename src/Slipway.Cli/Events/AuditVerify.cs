using System.CommandLine;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Events;

/// <summary><c>slipway audit verify</c></summary>
internal sealed class AuditVerify : Verb
{
    private readonly Option<string?> org;
    private readonly Option<bool> server;

    public AuditVerify()
        : base("verify", "Check that no entry of an org's log was changed, removed or put in")
    {
        org = OrgOption();
        server = Flag("--server", "The server's own log instead (superusers only)");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var found = await run.Client.VerifyAuditAsync(run.Get(server) ? null : run.Org(org), cancellationToken);
        run.Write(found, json => json.AuditVerification, one => one.Head, one => new Fields()
            .Add("chain", one.Chain)
            .Add("entries", Figures.Count(one.Entries), one.Entries.ToString(System.Globalization.CultureInfo.InvariantCulture))
            .Add("head", one.Head)
            .Write(run.Terminal));
        if (found.FirstBadSeq is { } bad)
        {
            throw new CliFailure(ExitCodes.Failed, "audit_chain_broken", $"the log of {found.Chain} is not whole from entry {bad} on") { Cause = found.Problem };
        }

        run.Done("the chain is whole; keep the head to compare with later");
        return ExitCodes.Ok;
    }
}
