using System.Diagnostics;
using System.Globalization;
using System.Net;
using Slipway.Data;

namespace Slipway.Testing;

/// <summary>
/// A real S3 server of one test process: Ceph's RADOS gateway on one monitor and one storage daemon that keeps its objects in memory.
/// It checks signatures (version 4), serves ranges and multipart uploads, and honours If-Match and If-None-Match on writes. About
/// 6 s to start and 130 MB, so tests share one and take a bucket each.
/// </summary>
/// <remarks>
/// The programs are Debian's ceph-mon, ceph-osd and radosgw: what people run as their own S3, not an imitation for tests.
/// </remarks>
public sealed class S3Fixture : IAsyncDisposable
{
    public const string AccessKey = "SLIPWAYTESTACCESSKEY";
    public const string SecretKey = "slipway-test-secret-key";
    public const string Region = "us-east-1";

    private readonly List<TestEngine> engines = [];
    private TestEngine? gateway;

    private S3Fixture(string folder, int port)
    {
        Folder = folder;
        Port = port;
    }

    /// <summary><c>http://127.0.0.1:PORT</c>; buckets are paths below it.</summary>
    public Uri Endpoint => new($"http://127.0.0.1:{Port}");

    public int Port { get; }

    private string Folder { get; }

    private string Configuration => Folder + "/ceph.conf";

    public static async Task<S3Fixture> StartAsync(CancellationToken cancellationToken)
    {
        var fixture = new S3Fixture(MakeFolder("mon"), RedisFixture.FreePort());
        try
        {
            await fixture.StartAllAsync(cancellationToken);
            return fixture;
        }
        catch
        {
            await fixture.DisposeAsync();
            throw;
        }
    }

    /// <summary>A name for a bucket that no other test has. The test makes the bucket.</summary>
    public static string NewBucket() => "slipway-" + Guid.NewGuid().ToString("N")[..16];

    /// <summary>Stops the gateway without ending it: connections stay open and nothing answers, like a hung machine.</summary>
    public void Freeze() => gateway!.Signal(Signal.Stop);

    public void Thaw() => gateway!.Signal(Signal.Continue);

    public async ValueTask DisposeAsync()
    {
        // The gateway first: without its cluster it would wait, and log.
        for (var i = engines.Count - 1; i >= 0; i--)
        {
            await engines[i].DisposeAsync();
        }
    }

    private async Task StartAllAsync(CancellationToken cancellationToken)
    {
        var clusterId = Guid.NewGuid().ToString();
        var monitor = string.Create(CultureInfo.InvariantCulture, $"v2:127.0.0.1:{RedisFixture.FreePort()}");
        var disk = MakeFolder("osd");
        var web = MakeFolder("rgw");
        EngineAccount.Current.MakePrivateFolder(Folder + "/data");
        await File.WriteAllTextAsync(Configuration, ConfigurationText(clusterId, monitor, disk, web), cancellationToken);
        // Ceph wants a key to exist even where nothing asks for it. 16 bytes in its own wrapping.
        await File.WriteAllTextAsync(Folder + "/keyring", "[mon.]\n key = AQBDm89bfxRJMhAAkCbVYJn2fbyvSOaRAxrhyA==\n caps mon = \"allow *\"\n", cancellationToken);
        File.SetUnixFileMode(Configuration, (UnixFileMode)Convert.ToInt32("644", 8));
        File.SetUnixFileMode(Folder + "/keyring", (UnixFileMode)Convert.ToInt32("644", 8));
        await RunAsync(["monmaptool", "--create", "--fsid", clusterId, "--addv", "a", $"[{monitor}]", Folder + "/monmap"], cancellationToken);
        await RunAsync(["ceph-mon", "--mkfs", "-i", "a", "-c", Configuration, "--monmap", Folder + "/monmap", "--keyring", Folder + "/keyring"], cancellationToken);
        engines.Add(await TestEngine.StartAsync(Folder, ["ceph-mon", "-f", "-i", "a", "-c", Configuration], _ => Task.FromResult(true), cancellationToken));

        var osd = Guid.NewGuid().ToString();
        await RunAsync(["ceph", "-c", Configuration, "--connect-timeout", "20", "osd", "new", osd], cancellationToken);
        await RunAsync(["ceph-osd", "-i", "0", "-c", Configuration, "--mkfs", "--osd-uuid", osd], cancellationToken);
        engines.Add(await TestEngine.StartAsync(disk, ["ceph-osd", "-f", "-i", "0", "-c", Configuration], _ => Task.FromResult(true), cancellationToken));

        // Its first start makes its pools, which the account then goes into.
        engines.Add(gateway = await TestEngine.StartAsync(web, ["radosgw", "-f", "-n", "client.rgw", "-c", Configuration], AnswersAsync, cancellationToken));
        await RunAsync(
            ["radosgw-admin", "-c", Configuration, "user", "create", "--uid=slipway", "--display-name=slipway", "--access-key=" + AccessKey, "--secret-key=" + SecretKey],
            cancellationToken);
    }

    private async Task<bool> AnswersAsync(CancellationToken cancellationToken)
    {
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        try
        {
            using var answer = await client.GetAsync(Endpoint, cancellationToken);
            return answer.StatusCode == HttpStatusCode.OK;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private static async Task RunAsync(string[] command, CancellationToken cancellationToken)
    {
        string[] words = [.. EngineAccount.Current.CommandPrefix, .. command];
        var start = new ProcessStartInfo(words[0], words.Skip(1)) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
        var errors = process.StandardError.ReadToEndAsync(cancellationToken);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }

        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{string.Join(' ', command)} failed: {await output}{await errors}");
        }
    }

    private static string MakeFolder(string part)
    {
        var folder = Path.Combine(Path.GetTempPath(), "slipway-s3-" + part + "-" + Guid.NewGuid().ToString("N")[..12]);
        EngineAccount.Current.MakePrivateFolder(folder);
        return folder;
    }

    // Everything a cluster of one needs to be told, because Ceph is made for clusters of many: no keys between its parts, one copy, no
    // waiting for others before a decision (paxos), no history of objects.
    private string ConfigurationText(string clusterId, string monitor, string disk, string web) => $"""
        [global]
        fsid = {clusterId}
        mon host = {monitor}
        public addr = 127.0.0.1
        cluster addr = 127.0.0.1
        keyring = {Folder}/keyring
        auth cluster required = none
        auth service required = none
        auth client required = none
        ms mon client mode = crc
        ms mon service mode = crc
        ms mon cluster mode = crc
        paxos propose interval = 0.02
        paxos min wait = 0.01
        osd pool default size = 1
        osd pool default min size = 1
        osd pool default pg num = 1
        osd pool default pgp num = 1
        osd pool default pg autoscale mode = off
        osd crush chooseleaf type = 0
        mon allow pool size one = true
        run dir = {Folder}
        crash dir = {Folder}
        admin socket = 
        pid file = 
        log file = 
        log to stderr = true
        err to stderr = true
        mon cluster log to file = false
        [mon.a]
        mon data = {Folder}/data
        mon initial members = a
        [osd]
        osd data = {disk}
        osd objectstore = memstore
        memstore device bytes = 4G
        [client.rgw]
        rgw frontends = beast endpoint=127.0.0.1:{Port.ToString(CultureInfo.InvariantCulture)}
        rgw data = {web}
        rgw thread pool size = 32
        rgw rados pool pg num min = 1
        rgw gc obj min wait = 1
        rgw gc processor period = 1

        """;
}
