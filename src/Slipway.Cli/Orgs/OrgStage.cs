using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Orgs;

/// <summary><c>slipway org stage [ORG [STAGE]]</c>: shows how far an org may go with the build system, or moves it.</summary>
internal sealed class OrgStage : Verb
{
    private static readonly string[] Stages = ["invisible", "visible", "beta", "paid"];

    private readonly Argument<string?> org;
    private readonly Argument<string?> stage;

    public OrgStage()
        : base("stage", "Show how far an org may go with the build system, or move it (superusers)")
    {
        org = new Argument<string?>("ORG") { Description = "Name of the org; all orgs unless given", Arity = ArgumentArity.ZeroOrOne };
        Add(org);
        stage = new Argument<string?>("STAGE") { Description = "invisible, visible, beta or paid; shown as it is unless given", Arity = ArgumentArity.ZeroOrOne };
        Add(stage);
    }

    public override string Remarks =>
        "invisible: caches and sends telemetry, sees nothing of it\nvisible: sees statistics and builds as well\n"
        + "beta: everything, with quotas up to the server's buildcache.betaQuota\npaid: everything, with any quota\n"
        + "Orgs that nobody moved have the server's buildcache.defaultStage, which is beta unless set.";

    public override IReadOnlyList<string> Examples => ["org stage", "org stage acme", "org stage acme paid"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        if (run.Get(org) is not { } name)
        {
            await run.WriteListAsync(
                run.Client.ListBuildStagesAsync(cancellationToken),
                json => json.PageBuildStage,
                one => one.Org,
                new Table<BuildStage>().Add("ORG", one => one.Org).Add("STAGE", one => one.Stage).Add("SET BY", one => one.IsDefault ? "default" : "superuser").When("MOVED", one => one.MovedAt, run.Now),
                "no orgs yet: slipway org create NAME");
            return ExitCodes.Ok;
        }

        if (run.Get(stage) is not { } wanted)
        {
            run.Write(await run.Client.GetBuildStageAsync(name, cancellationToken), json => json.BuildStage, one => one.Stage, one => Print(one, run));
            return ExitCodes.Ok;
        }

        if (!Stages.Contains(wanted, StringComparer.Ordinal))
        {
            throw CliFailure.Usage($"STAGE is one of {string.Join(", ", Stages)}, not \"{wanted}\"");
        }

        var moved = await run.Client.MoveBuildStageAsync(name, new MoveStageRequest(wanted), cancellationToken);
        run.Write(moved, json => json.BuildStage, one => one.Stage, one => Print(one, run));
        run.Done($"{name} is {wanted} now");
        return ExitCodes.Ok;
    }

    private static void Print(BuildStage stage, Invocation run) => new Fields()
        .Add("org", stage.Org)
        .Add("stage", stage.IsDefault ? $"{stage.Stage} (the server's default)" : stage.Stage, stage.Stage)
        .When("moved", stage.MovedAt, run.Now)
        .Write(run.Terminal);
}
