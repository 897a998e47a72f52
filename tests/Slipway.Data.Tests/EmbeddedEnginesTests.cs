using System.Diagnostics;
using System.Text;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Shouldly;
using Slipway.Native;
using Slipway.Testing;
using Xunit;

namespace Slipway.Data.Tests;

/// <summary>Against real engines. As root they run under the postgres account, otherwise under the tester's own: both must pass.</summary>
public sealed class EmbeddedEnginesTests : IAsyncDisposable
{
    /// <summary>A data folder both engines have run in, stopped; copied, because initdb syncs a thousand files and takes seconds.</summary>
    private static readonly Lazy<Task<TempFolder>> Prepared = new(PrepareAsync);

    private readonly TempFolder folder = new();
    private readonly List<EmbeddedEngines> started = [];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        // A failed test may have abandoned engines that nobody took over.
        foreach (var engines in started)
        {
            var left = engines.Status.Where(engine => engine.ProcessId > 0).ToList();
            await engines.DisposeAsync();
            foreach (var engine in left.Where(engine => ProcessTable.HasOpen(engine.ProcessId, Path.Combine(engines.DataFolder, "engines", engine.Name + ".lock"))))
            {
                ProcessTable.Signal(engine.ProcessId, Signal.Kill);
            }
        }

        folder.Dispose();
    }

    [Fact]
    public async Task Engines_start_serve_and_leave_nothing_running()
    {
        var engines = await StartAsync(folder.Path);
        var processes = engines.Status.Select(engine => engine.ProcessId).ToList();

        await RememberAsync(engines, "Ida");
        engines.Status.ShouldAllBe(engine => engine.Ready);
        await engines.StopAsync(Token);

        processes.ShouldAllBe(process => !ProcessTable.IsAlive(process));
        await using var again = await StartAsync(folder.Path);
        (await RecallAsync(again)).ShouldBe(("Ida", "Ida"));
        again.Status.Select(engine => engine.ProcessId).ShouldNotContain(process => processes.Contains(process));
    }

    [Theory]
    [InlineData("postgres")]
    [InlineData("redis")]
    [Trait("speed", "slow")]
    public async Task Killed_engine_is_started_again_with_everything_acknowledged(string name)
    {
        await using var engines = await StartAsync(folder.Path);
        await RememberAsync(engines, "Ida");
        var killed = engines.Status.Single(engine => engine.Name == name).ProcessId;

        ProcessTable.Signal(killed, Signal.Kill);

        await Eventually.TrueAsync(() => engines.Status.Single(engine => engine.Name == name) is { Ready: true, Restarts: 1 }, Token);
        engines.Status.Single(engine => engine.Name == name).ProcessId.ShouldNotBe(killed);
        (await RecallAsync(engines)).ShouldBe(("Ida", "Ida"));
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Engines_outlive_their_server_and_the_next_one_takes_them_over()
    {
        var killed = await StartAsync(folder.Path);
        await RememberAsync(killed, "Ida");
        var before = killed.Status.Select(engine => engine.ProcessId).ToList();
        await killed.AbandonAsync();

        await using var next = await StartAsync(folder.Path);

        next.Status.Select(engine => engine.ProcessId).ShouldBe(before);
        (await RecallAsync(next)).ShouldBe(("Ida", "Ida"));
        // What was taken over is supervised like what was started.
        ProcessTable.Signal(before[0], Signal.Kill);
        await Eventually.TrueAsync(() => next.Status[0] is { Ready: true, Restarts: 1 }, Token);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Engine_that_died_together_with_its_server_is_started_beside_the_one_that_did_not()
    {
        var killed = await StartAsync(folder.Path);
        await RememberAsync(killed, "Ida");
        var before = killed.Status.ToDictionary(engine => engine.Name, engine => engine.ProcessId);
        await killed.AbandonAsync();
        ProcessTable.Signal(before["postgres"], Signal.Kill);

        await using var next = await StartAsync(folder.Path);

        next.Status.Single(engine => engine.Name == "redis").ProcessId.ShouldBe(before["redis"]);
        next.Status.Single(engine => engine.Name == "postgres").ProcessId.ShouldNotBe(before["postgres"]);
        (await RecallAsync(next)).ShouldBe(("Ida", "Ida"));
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Lost_pid_file_does_not_lead_to_a_second_engine()
    {
        var killed = await StartAsync(folder.Path, postgres: false);
        var process = killed.Status[0].ProcessId;
        var log = Path.Combine(folder.Path, "engines", "redis.log");
        var logged = await File.ReadAllTextAsync(log, Token);
        await killed.AbandonAsync();
        var pidFile = Path.Combine(folder.Path, "run", "redis.pid");
        var written = await File.ReadAllTextAsync(pidFile, Token);
        File.Delete(pidFile);

        // It waits for the holder of the lock to show up or to die, and never starts a second one beside it.
        var starting = StartAsync(folder.Path, postgres: false);
        starting.IsCompleted.ShouldBeFalse();
        await File.WriteAllTextAsync(pidFile, written, Token);

        await using var next = await starting;
        next.Status[0].ProcessId.ShouldBe(process);
        (await File.ReadAllTextAsync(log, Token)).ShouldBe(logged);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Second_server_on_the_same_folder_is_refused()
    {
        await using var first = await StartAsync(folder.Path, postgres: false);

        var refusal = await Should.ThrowAsync<EngineException>(() => StartAsync(folder.Path, postgres: false));

        refusal.Message.ShouldContain($"in use by another slipway server (process {Environment.ProcessId})");
        refusal.Message.ShouldContain("--data DIR");
        (await AskRedisAsync(first, "PING")).ShouldBe("+PONG");
    }

    [Fact]
    public async Task Folder_closed_to_the_engines_account_is_refused_with_the_cure()
    {
        Assert.SkipUnless(Posix.EffectiveUserId == 0, "only root gives the engines another account");
        var closed = folder.Folder("closed");
        File.SetUnixFileMode(closed, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var data = Path.Combine(closed, "data");

        EmbeddedEngines.CanHost(data, out var problem).ShouldBeFalse();
        problem.ShouldContain($"'{closed}' is closed to the user");
        problem.ShouldContain($"chmod o+x '{closed}'");
        (await Should.ThrowAsync<EngineException>(() => StartAsync(data))).Message.ShouldBe(problem);

        File.SetUnixFileMode(closed, (UnixFileMode)Convert.ToInt32("711", 8));
        EmbeddedEngines.CanHost(data, out problem).ShouldBeTrue(problem);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Engines_do_not_run_as_root_and_let_nobody_else_in()
    {
        await using var engines = await StartAsync(this.folder.Path);

        foreach (var engine in engines.Status)
        {
            Posix.OwnerOf($"/proc/{engine.ProcessId}/stat").Uid.ShouldNotBe(0u);
            // The server's environment stays its own.
            (await File.ReadAllTextAsync($"/proc/{engine.ProcessId}/environ", Token)).ShouldNotContain("HOME=");
        }

        const UnixFileMode Others = (UnixFileMode)0b000_111_111;
        foreach (var folder in (string[])["run", "postgres", "redis"])
        {
            (File.GetUnixFileMode(Path.Combine(this.folder.Path, folder)) & Others).ShouldBe(UnixFileMode.None, folder);
        }
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Long_and_odd_paths_get_their_sockets_elsewhere()
    {
        var data = folder.Folder($"it's, \"a\" path {new string('x', 90)}");

        await using var engines = await StartAsync(data);

        engines.DatabaseUrl.ShouldNotContain(data);
        await RememberAsync(engines, "Ida");
        (await RecallAsync(engines)).ShouldBe(("Ida", "Ida"));
        var sockets = Path.GetDirectoryName(new Uri(engines.RedisUrl).AbsolutePath)!;
        await engines.StopAsync(Token);
        Directory.Delete(sockets, recursive: true);
    }

    [Fact]
    public async Task Data_of_a_postgres_that_is_not_installed_is_named()
    {
        await using (await StartAsync(folder.Path, redis: false))
        {
        }

        await File.WriteAllTextAsync(Path.Combine(folder.Path, "postgres", "data", "PG_VERSION"), "99\n", Token);

        var refusal = await Should.ThrowAsync<EngineException>(() => StartAsync(folder.Path, redis: false));
        refusal.Message.ShouldContain("belongs to PostgreSQL 99");
        refusal.Message.ShouldContain("apt-get install postgresql-99");
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Engine_that_cannot_start_shows_the_end_of_its_log_and_takes_the_other_down()
    {
        await using (await StartAsync(folder.Path))
        {
        }

        await File.WriteAllTextAsync(Path.Combine(folder.Path, "engines", "postgresql.custom.conf"), "colour = 'red'\n", Token);

        var failure = await Should.ThrowAsync<EngineException>(() => StartAsync(folder.Path));

        failure.Message.ShouldContain("postgres does not start");
        failure.Message.ShouldContain("unrecognized configuration parameter \"colour\"");
        File.Exists(Path.Combine(folder.Path, "run", "redis.pid")).ShouldBeFalse();
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Half_made_data_folder_is_swept_and_made_again()
    {
        await using (await StartAsync(folder.Path, redis: false))
        {
        }

        var postgres = Path.Combine(folder.Path, "postgres");
        Directory.Move(Path.Combine(postgres, "data"), Path.Combine(postgres, "data.new-killed"));

        await using var engines = await StartAsync(folder.Path, redis: false);

        Directory.EnumerateDirectories(postgres).Select(Path.GetFileName).ShouldBe(["data"]);
        engines.Status[0].Ready.ShouldBeTrue();
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Times_of_start_are_written_to_the_test_output()
    {
        var first = Stopwatch.StartNew();
        var engines = await StartAsync(folder.Path, fresh: true);
        first.Stop();
        await engines.StopAsync(Token);
        var later = Stopwatch.StartNew();
        engines = await StartAsync(folder.Path);
        later.Stop();
        await engines.AbandonAsync();
        var adoption = Stopwatch.StartNew();
        engines = await StartAsync(folder.Path);
        adoption.Stop();
        var stop = Stopwatch.StartNew();
        await engines.StopAsync(Token);

        TestContext.Current.TestOutputHelper!.WriteLine(
            $"first {first.ElapsedMilliseconds} ms, later {later.ElapsedMilliseconds} ms, adoption {adoption.ElapsedMilliseconds} ms, stop {stop.ElapsedMilliseconds} ms");
        // No limit in ms on a shared machine; only the order of magnitude that adoption exists for.
        adoption.Elapsed.ShouldBeLessThan(first.Elapsed);
    }

    private static async Task<TempFolder> PrepareAsync()
    {
        var folder = new TempFolder();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Dispose();
        await using var engines = await EmbeddedEngines.StartAsync(
            new EmbeddedEnginesOptions(folder.Path, Postgres: true, Redis: true), TimeProvider.System, NullLogger.Instance, CancellationToken.None);
        return folder;
    }

    /// <param name="fresh">With nothing in it: the engines make their data anew.</param>
    private async Task<EmbeddedEngines> StartAsync(string folder, bool postgres = true, bool redis = true, bool fresh = false)
    {
        if (!fresh && !Directory.Exists(Path.Combine(folder, "engines")) && EmbeddedEngines.CanHost(folder, out _))
        {
            using var copy = Process.Start("cp", ["-a", (await Prepared.Value).Path + "/.", folder]);
            await copy.WaitForExitAsync(Token);
            copy.ExitCode.ShouldBe(0);
        }

        var engines = await EmbeddedEngines.StartAsync(
            new EmbeddedEnginesOptions(folder, postgres, redis), TimeProvider.System, NullLogger.Instance, Token);
        started.Add(engines);
        return engines;
    }

    private static async Task RememberAsync(EmbeddedEngines engines, string text)
    {
        await using var database = new Database(engines.DatabaseUrl + ";Pooling=false");
        await using var connection = await database.OpenAsync(Token);
        await connection.ExecuteAsync("create table boat (name text not null); insert into boat values (@text)", new { text });
        (await AskRedisAsync(engines, $"SET boat {text}")).ShouldBe("+OK");
    }

    private static async Task<(string Postgres, string Redis)> RecallAsync(EmbeddedEngines engines)
    {
        await using var database = new Database(engines.DatabaseUrl + ";Pooling=false");
        await using var connection = await database.OpenAsync(Token);
        var name = await connection.ExecuteScalarAsync<string>("select name from boat");
        return (name!, (await AskRedisAsync(engines, "GET boat")).Split("\r\n")[^1]);
    }

    private static async Task<string> AskRedisAsync(EmbeddedEngines engines, string command)
    {
        using var socket = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Unspecified);
        await socket.ConnectAsync(new System.Net.Sockets.UnixDomainSocketEndPoint(engines.RedisUrl["unix://".Length..]), Token);
        await socket.SendAsync(Encoding.ASCII.GetBytes(command + "\r\n"), Token);
        var answer = new byte[256];
        return Encoding.ASCII.GetString(answer, 0, await socket.ReceiveAsync(answer, Token)).TrimEnd();
    }
}
