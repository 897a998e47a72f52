using Slipway.Api;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Stages;

/// <summary>How far an org may go with the build system, least first, so that they compare.</summary>
public enum OrgStage
{
    /// <summary>May cache and send telemetry. Sees nothing of it.</summary>
    Invisible = 1,

    /// <summary>May look at its builds and its cache's statistics as well.</summary>
    Visible = 2,

    /// <summary>May use everything, with quotas up to <see cref="BuildCacheOptions.BetaQuotaBytes"/>.</summary>
    Beta = 3,

    /// <summary>Everything, with any quota.</summary>
    Paid = 4,
}

/// <summary>What each stage opens, and the one refusal beyond it.</summary>
public static class OrgStages
{
    public static IReadOnlyList<string> Names { get; } = ["invisible", "visible", "beta", "paid"];

    /// <summary>How a stage is written on the wire.</summary>
    public static string Name(this OrgStage stage) => Names[(int)stage - 1];

    public static OrgStage? Read(string name) => Names.IndexOf(name) is >= 0 and var index ? (OrgStage)(index + 1) : null;

    /// <summary>Refuses with 403 what <paramref name="stage"/> does not open yet, naming the stage and who can change it.</summary>
    /// <param name="what">The start of the sentence: <c>Statistics of a build cache</c>.</param>
    public static void Require(this OrgStage stage, OrgStage least, string org, string what)
    {
        if (stage < least)
        {
            throw new ApiException(
                403,
                ProblemCodes.StageRefused,
                $"{what} are for orgs at the stage {least.Name()} or later, and {org} is {stage.Name()}.",
                $"A superuser of this server can move it: slipway org stage {org} {least.Name()}.");
        }
    }

    private static int IndexOf(this IReadOnlyList<string> names, string name)
    {
        for (var index = 0; index < names.Count; index++)
        {
            if (names[index] == name)
            {
                return index;
            }
        }

        return -1;
    }
}
