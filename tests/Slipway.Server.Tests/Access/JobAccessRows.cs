using Slipway.Testing;

namespace Slipway.Server.Tests.Access;

/// <summary>The access table of work queues. The paths are written out on purpose.</summary>
internal static class JobAccessRows
{
    //                                  anon strg view memb admn ownr supr key+ key- expd rvkd dsbl
    private const string Reader = "     401  404  200  200  200  200  404  200  403  401  401  401";
    private const string Peeker = "     401  404  403  200  200  200  404  200  403  401  401  401";
    private const string Enqueuer = "   401  404  403  200  200  200  404  200  403  401  401  401";
    private const string EnqueuerMade = "401 404  403  201  201  201  404  201  403  401  401  401";
    private const string Worker = "     401  404  403  200  200  200  404  200  403  401  401  401";
    private const string Admin = "      401  404  403  403  200  200  404  200  403  401  401  401";
    private const string AdminBegun = " 401  404  403  403  202  202  404  202  403  401  401  401";
    private const string AdminGone = "  401  404  403  403  204  204  404  204  403  401  401  401";
    private const string ManagerMade = "401  404  403  403  201  201  404  403  403  401  401  401";
    private const string ManagerGone = "401  404  403  403  204  204  404  403  403  401  401  401";

    private const string Read = "jobs:read:acme/work";
    private const string Peek = "jobs:peek:acme/work";
    private const string Enqueue = "jobs:enqueue:acme/work";
    private const string Work = "jobs:work:acme/work";
    private const string Administer = "jobs:admin:acme/*";

    private const string Queue = "/v1/orgs/acme/queues/work";
    private const string Route = "/v1/orgs/{org}/queues/{queue}";
    private const string NoBlock = "1.1.80.0.w~1";
    private const string Schedule = """{"cron":"0 3 * * *","job":{"type":"t"}}""";

    public static IReadOnlyList<AccessRow> All { get; } =
    [
        AccessRow.Of("GET", "/v1/orgs/{org}/jobs", Reader, "jobs:read:acme"),
        AccessRow.Of("GET", "/v1/orgs/{org}/queues", Reader, "jobs:read:acme"),
        new("POST", "/v1/orgs/{org}/queues", ManagerMade, null, (world, _, _) => Call("/v1/orgs/acme/queues", $$"""{"name":"{{world.FreshName("q")}}"}""")),
        AccessRow.Of("GET", Route, Reader, Read, Queue),
        new("PATCH", Route, Admin, Administer, async (world, _, token) => new PreparedCall(Queue, """{"description":"busy"}""", await world.ETagAsync(Queue, world.OwnerToken, token))),
        new("DELETE", Route, ManagerGone, null, async (world, _, token) => new PreparedCall(await FreshQueueAsync(world, token))),
        AccessRow.Of("POST", Route + "/pause", Admin, Administer, Queue + "/pause", """{"type":"nobodys"}"""),
        AccessRow.Of("POST", Route + "/resume", Admin, Administer, Queue + "/resume", """{"type":"nobodys"}"""),
        AccessRow.Of("GET", Route + "/stats", Reader, Read, Queue + "/stats"),
        AccessRow.Of("GET", Route + "/history", Reader, Read, Queue + "/history"),
        AccessRow.Of("GET", Route + "/live", Reader, Read, Queue + "/live"),
        AccessRow.Of("GET", Route + "/peek", Peeker, Peek, Queue + "/peek"),
        AccessRow.Of("GET", Route + "/workers", Reader, Read, Queue + "/workers"),
        AccessRow.Of("PUT", Route + "/workers/{worker}", Worker, Work, Queue + "/workers/w1", """{"about":"a test"}"""),

        AccessRow.Of("POST", Route + "/jobs", EnqueuerMade, Enqueue, Queue + "/jobs", """{"type":"t"}"""),
        AccessRow.Of("POST", Route + "/jobs/bulk", Enqueuer, Enqueue, Queue + "/jobs/bulk", """{"jobs":[{"type":"t"}]}"""),
        new("GET", Route + "/jobs/{job}", Peeker, Peek, (world, _, token) => TrackedAsync(world, "", null, token)),
        new("POST", Route + "/jobs/{job}/progress", Worker, Work, (world, _, token) => TrackedAsync(world, "/progress", """{"progress":1}""", token)),
        new("POST", Route + "/jobs/{job}/cancel", Enqueuer, Enqueue, (world, _, token) => TrackedAsync(world, "/cancel", null, token)),

        AccessRow.Of("POST", Route + "/lease", Worker, Work, Queue + "/lease", """{"max":0}"""),
        AccessRow.Of("POST", "/v1/orgs/{org}/lease", Worker, Work, body: """{"queues":["work"]}"""),
        AccessRow.Of("GET", Route + "/wake", Worker, Work, Queue + "/wake"),
        AccessRow.Of("POST", Route + "/blocks/{block}/ack", Worker, Work, $"{Queue}/blocks/{NoBlock}/ack", "{}"),
        AccessRow.Of("POST", Route + "/blocks/{block}/extend", Worker, Work, $"{Queue}/blocks/{NoBlock}/extend", "{}"),
        AccessRow.Of("POST", Route + "/ack", Worker, Work, Queue + "/ack", $$"""{"blocks":[{"id":"{{NoBlock}}"}]}"""),
        AccessRow.Of("POST", Route + "/extend", Worker, Work, Queue + "/extend", $$"""{"blocks":["{{NoBlock}}"]}"""),

        AccessRow.Of("POST", Route + "/batches", EnqueuerMade, Enqueue, Queue + "/batches", """{"callback":{"type":"t"}}"""),
        new("GET", Route + "/batches/{batch}", Reader, Read, (world, _, token) => BatchAsync(world, "", token)),
        new("POST", Route + "/batches/{batch}/close", Enqueuer, Enqueue, (world, _, token) => BatchAsync(world, "/close", token)),

        AccessRow.Of("GET", Route + "/schedules", Reader, Read, Queue + "/schedules"),
        new("GET", Route + "/schedules/{schedule}", Reader, Read, async (world, _, token) => new PreparedCall(await ScheduleAsync(world, token))),
        AccessRow.Of("PUT", Route + "/schedules/{schedule}", Admin, Administer, Queue + "/schedules/nightly", Schedule),
        new("DELETE", Route + "/schedules/{schedule}", AdminGone, Administer, async (world, _, token) => new PreparedCall(await ScheduleAsync(world, token))),

        AccessRow.Of("GET", Route + "/dead-letters", Peeker, Peek, Queue + "/dead-letters"),
        new("POST", Route + "/dead-letters/redrive", AdminBegun, Administer, async (world, _, token) => new PreparedCall(await FreshQueueAsync(world, token) + "/dead-letters/redrive", "{}")),
        new("POST", Route + "/dead-letters/purge", AdminBegun, Administer, async (world, _, token) => new PreparedCall(await FreshQueueAsync(world, token) + "/dead-letters/purge", "{}")),
        new("GET", Route + "/operations/{operation}", Reader, "jobs:read:acme/*", (world, _, token) => OperationAsync(world, "", token)),
        new("POST", Route + "/operations/{operation}/cancel", Admin, Administer, (world, _, token) => OperationAsync(world, "/cancel", token)),
    ];

    public static Task SetUpAsync(AccessWorld world, CancellationToken cancellationToken) =>
        world.Client.JsonAsync("POST", "/v1/orgs/acme/queues", world.OwnerToken, """{"name":"work"}""", cancellationToken);

    private static Task<PreparedCall> Call(string path, string? body) => Task.FromResult(new PreparedCall(path, body));

    private static async Task<string> FreshQueueAsync(AccessWorld world, CancellationToken cancellationToken)
    {
        var name = world.FreshName("q");
        await world.Client.JsonAsync("POST", "/v1/orgs/acme/queues", world.OwnerToken, $$$"""{"name":"{{{name}}}","settings":{"maxBytes":1024}}""", cancellationToken);
        return "/v1/orgs/acme/queues/" + name;
    }

    private static async Task<PreparedCall> TrackedAsync(AccessWorld world, string rest, string? body, CancellationToken cancellationToken)
    {
        var job = await world.Client.JsonAsync("POST", Queue + "/jobs", world.OwnerToken, """{"type":"t","track":true}""", cancellationToken);
        return new PreparedCall($"{Queue}/jobs/{job.Text("id")}{rest}", body);
    }

    private static async Task<PreparedCall> BatchAsync(AccessWorld world, string rest, CancellationToken cancellationToken)
    {
        var batch = await world.Client.JsonAsync("POST", Queue + "/batches", world.OwnerToken, """{"callback":{"type":"t"}}""", cancellationToken);
        return new PreparedCall($"{Queue}/batches/{batch.Text("id")}{rest}");
    }

    private static async Task<string> ScheduleAsync(AccessWorld world, CancellationToken cancellationToken)
    {
        var path = $"{Queue}/schedules/{world.FreshName("s")}";
        await world.Client.JsonAsync("PUT", path, world.OwnerToken, Schedule, cancellationToken);
        return path;
    }

    private static async Task<PreparedCall> OperationAsync(AccessWorld world, string rest, CancellationToken cancellationToken)
    {
        var queue = await FreshQueueAsync(world, cancellationToken);
        var operation = await world.Client.JsonAsync("POST", queue + "/dead-letters/purge", world.OwnerToken, "{}", cancellationToken);
        return new PreparedCall($"{queue}/operations/{operation.Text("id")}{rest}");
    }
}
