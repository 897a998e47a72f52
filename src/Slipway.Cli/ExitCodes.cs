using Slipway.Api;
using Slipway.Api.Client;

namespace Slipway.Cli;

/// <summary>What the exit status says. Scripts match on these: add, never change.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int WaitEnded = 3;
    public const int NotAllowed = 4;
    public const int RemoteFailed = 5;
    public const int Conflict = 6;
    public const int NotFound = 7;
    public const int Quota = 8;
    public const int Unavailable = 9;
    public const int Interrupted = 130;

    public static IReadOnlyList<(int Code, string Meaning)> All { get; } =
    [
        (Ok, "done"),
        (Failed, "failed, or a check found something wrong"),
        (Usage, "the command line, or a value in it, is wrong"),
        (WaitEnded, "gave up waiting; the work goes on at the server"),
        (NotAllowed, "not signed in, or not allowed"),
        (RemoteFailed, "the server took the work on and it ended badly"),
        (Conflict, "it exists already, or somebody changed it in between"),
        (NotFound, "there is no such thing, or you may not know of it"),
        (Quota, "a quota or a store is full"),
        (Unavailable, "the server can't be reached or is busy: the same command may work later"),
        (Interrupted, "stopped by Ctrl-C"),
    ];

    public static int Of(Problem problem) => problem switch
    {
        { Status: 401 or 403 } => NotAllowed,
        { Status: 404 or 410 } => NotFound,
        { Status: 409 or 412 or 428 } => Conflict,
        { Status: 402 or 507 } => Quota,
        { Code: ProblemCodes.StoreFull } => Quota,
        { Code: ProblemCodes.IdempotencyKeyReused } => Conflict,
        { Status: 400 or 422 } => Usage,
        { Status: 429 or >= 500 } => Unavailable,
        _ => Failed,
    };

    public static int Of(SlipwayUnreachableException failure) =>
        failure.Reason == UnreachableReason.NotSlipway ? Failed : Unavailable;
}
