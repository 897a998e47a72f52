using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Hosting;
using Shouldly;
using Xunit;

namespace Slipway.Server.Tests.Http;

public sealed class SendFileTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("slipway-sendfile-").FullName;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(16 * 1024)]
    [InlineData(16 * 1024 + 1)]
    [InlineData(1 << 20)]
    [InlineData(7_654_321)]
    public async Task Response_is_the_one_that_plain_copying_gives(int length)
    {
        var path = MakeFile(length, out var bytes);
        await using var ours = await FileServer.StartAsync();
        await using var plain = await FileServer.StartAsync(sendFile: false);
        using HttpClient ourClient = ours.Client(), plainClient = plain.Client();

        using var fromOurs = await ourClient.GetAsync($"/file?path={path}", CancellationToken);
        using var fromPlain = await plainClient.GetAsync($"/file?path={path}", CancellationToken);

        fromOurs.StatusCode.ShouldBe(fromPlain.StatusCode);
        ShouldBeSame(await BodyOfAsync(fromOurs), bytes);
        ShouldBeSame(await BodyOfAsync(fromPlain), bytes);
        Names(fromOurs).ShouldBe(Names(fromPlain));

        static IEnumerable<string> Names(HttpResponseMessage response) =>
            response.Headers.Concat(response.Content.Headers).Select(header => header.Key);
    }

    [Theory]
    [InlineData(0, 100_000)]
    [InlineData(1, 99_999)]
    [InlineData(4095, 1_000_001)]
    [InlineData(2_999_999, 1)]
    [InlineData(2_900_000, 100_000)]
    [InlineData(3_000_000, 0)]
    public async Task Range_of_a_file_is_sent_exactly(int offset, int count)
    {
        var path = MakeFile(3_000_000, out var bytes);
        await using var server = await FileServer.StartAsync();
        using var client = server.Client();

        ShouldBeSame(await client.GetByteArrayAsync($"/file?path={path}&offset={offset}&count={count}", CancellationToken), bytes.AsSpan(offset, count));
    }

    [Fact]
    public async Task Range_beyond_4_GB_is_sent_exactly()
    {
        const long offset = 4_500_000_001;
        var path = Path.Combine(folder, "sparse");
        var marker = RandomNumberGenerator.GetBytes(200_000);
        using (var sparse = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write))
        {
            RandomAccess.Write(sparse, marker, offset);
        }

        await using var server = await FileServer.StartAsync();
        using var client = server.Client();

        ShouldBeSame(await client.GetByteArrayAsync($"/file?path={path}&offset={offset}&count={marker.Length}", CancellationToken), marker);
    }

    [Theory]
    [InlineData(-1, 10)]
    [InlineData(1_000_001, 0)]
    [InlineData(900_000, 100_001)]
    public async Task Range_outside_the_file_is_refused_before_the_response_starts(int offset, int count)
    {
        var path = MakeFile(1_000_000, out _);
        await using var server = await FileServer.StartAsync();
        using var client = server.Client();

        using var response = await client.GetAsync($"/file?path={path}&offset={offset}&count={count}", CancellationToken);

        response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        (await server.OutcomeAsync()).ShouldBeOfType<ArgumentOutOfRangeException>();
    }

    [Fact]
    public async Task Pipelined_requests_before_between_and_after_files_are_answered_in_order()
    {
        var path = MakeFile(2_000_000, out var bytes);
        await using var server = await FileServer.StartAsync();
        using var socket = await server.ConnectAsync();
        string[] requests = ["/hello", $"/file?path={path}", "/hello", $"/file?path={path}&offset=7&count=20", $"/file?path={path}", "/hello"];

        await socket.SendAsync(Encoding.ASCII.GetBytes(string.Concat(requests.Select(Request))), CancellationToken);

        await using var stream = new NetworkStream(socket);
        byte[] hello = "hello"u8.ToArray();
        foreach (var expected in (byte[][])[hello, bytes, hello, bytes[7..27], bytes, hello])
        {
            (await ReadHeadersAsync(stream)).ShouldContain($"Content-Length: {expected.Length}\r\n");
            var body = new byte[expected.Length];
            await stream.ReadExactlyAsync(body, CancellationToken);
            ShouldBeSame(body, expected);
        }
    }

    [Fact]
    public async Task File_stands_where_it_was_written_among_other_bytes()
    {
        var path = MakeFile(1_500_000, out var bytes);
        await using var server = await FileServer.StartAsync();
        using var client = server.Client();

        ShouldBeSame(await client.GetByteArrayAsync($"/framed?path={path}", CancellationToken), [.. "begin"u8, .. bytes, .. "finis"u8]);
    }

    [Fact]
    public async Task Slow_reader_gets_every_byte_and_holds_up_nobody()
    {
        var path = MakeFile(8_000_000, out var bytes);
        await using var server = await FileServer.StartAsync();
        using var slow = await server.ConnectAsync();
        await slow.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}")), CancellationToken);
        await using var stream = new NetworkStream(slow);
        await ReadHeadersAsync(stream);

        // The slow one has the headers and reads nothing now; more of them than there are threads.
        using var client = server.Client();
        var stalled = await Task.WhenAll(Enumerable.Range(0, 40).Select(async _ =>
        {
            var socket = await server.ConnectAsync();
            await socket.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}")), CancellationToken);
            return socket;
        }));
        (await client.GetStringAsync("/hello", CancellationToken)).ShouldBe("hello");

        var body = new byte[bytes.Length];
        for (var read = 0; read < body.Length;)
        {
            var count = await stream.ReadAsync(body.AsMemory(read, Math.Min(10_000, body.Length - read)), CancellationToken);
            count.ShouldBeGreaterThan(0);
            read += count;
        }

        ShouldBeSame(body, bytes);
        foreach (var socket in stalled)
        {
            socket.Dispose();
        }
    }

    [Fact]
    public async Task Many_downloads_at_once_do_not_mix()
    {
        var path = MakeFile(6_000_000, out var bytes);
        await using var server = await FileServer.StartAsync();
        using var client = server.Client();

        await Task.WhenAll(Enumerable.Range(0, 32).Select(async index =>
        {
            int offset = index * 100_003, count = bytes.Length - offset - index;
            var body = await client.GetByteArrayAsync($"/file?path={path}&offset={offset}&count={count}", CancellationToken);
            ShouldBeSame(body, bytes.AsSpan(offset, count));
        }));
    }

    [Fact]
    public async Task Client_that_goes_away_ends_the_request_and_the_server_serves_on()
    {
        var path = MakeSparseFile(1L << 30);
        await using var server = await FileServer.StartAsync();
        var socket = await server.ConnectAsync();
        await socket.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}")), CancellationToken);
        (await socket.ReceiveAsync(new byte[1000], CancellationToken)).ShouldBeGreaterThan(0);

        // Without lingering, close sends a reset: the client crashed.
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();

        (await server.OutcomeAsync()).ShouldBeAssignableTo<OperationCanceledException>();
        using var client = server.Client();
        (await client.GetStringAsync("/hello", CancellationToken)).ShouldBe("hello");
    }

    [Fact]
    public async Task File_cut_short_while_it_is_sent_cuts_the_connection()
    {
        var path = MakeSparseFile(1L << 30);
        await using var server = await FileServer.StartAsync();
        using var socket = await server.ConnectAsync();
        await socket.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}") + Request("/hello")), CancellationToken);
        await using var stream = new NetworkStream(socket);
        await ReadHeadersAsync(stream);

        using (var file = File.OpenHandle(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            RandomAccess.SetLength(file, 1000);
        }

        (await CountToEndAsync(stream)).ShouldBeLessThan(1L << 30);
        // The cut itself cancels what is still being flushed: either may reach the handler first.
        var outcome = await server.OutcomeAsync();
        (outcome is IOException { InnerException: EndOfStreamException } or OperationCanceledException).ShouldBeTrue(outcome?.ToString());
    }

    [Fact]
    public async Task Cancelling_a_file_in_the_middle_cuts_the_connection()
    {
        var path = MakeSparseFile(1L << 30);
        await using var server = await FileServer.StartAsync();
        using var socket = await server.ConnectAsync();
        await socket.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}") + Request("/hello")), CancellationToken);
        await using var stream = new NetworkStream(socket);
        await ReadHeadersAsync(stream);

        server.CancelFiles();

        (await server.OutcomeAsync()).ShouldBeAssignableTo<OperationCanceledException>();
        (await CountToEndAsync(stream)).ShouldBeLessThan(1L << 30);
    }

    [Fact]
    [Trait("speed", "slow")]
    public async Task Reader_below_the_minimum_rate_is_cut_and_one_above_it_is_not()
    {
        var path = MakeSparseFile(20_000_000);
        await using var server = await FileServer.StartAsync();
        using Socket patientlyServed = await server.ConnectAsync(), cut = await server.ConnectAsync();

        // Neither reads. At 240 B/s a chunk has an hour, at 100 MB/s only the grace period of 1.1 s.
        await patientlyServed.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}&rate=240")), CancellationToken);
        await using var stream = new NetworkStream(patientlyServed);
        await ReadHeadersAsync(stream);
        await cut.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}&rate=100000000")), CancellationToken);

        (await server.OutcomeAsync()).ShouldBeAssignableTo<OperationCanceledException>();
        await stream.ReadExactlyAsync(new byte[20_000_000], CancellationToken);
        (await server.OutcomeAsync()).ShouldBeNull();
    }

    [Fact]
    public async Task Head_request_gets_no_body_and_the_connection_goes_on()
    {
        var path = MakeFile(100_000, out _);
        await using var server = await FileServer.StartAsync();
        using var socket = await server.ConnectAsync();
        await socket.SendAsync(Encoding.ASCII.GetBytes(Request($"/file?path={path}").Replace("GET", "HEAD", StringComparison.Ordinal) + Request("/hello")), CancellationToken);
        await using var stream = new NetworkStream(socket);

        (await ReadHeadersAsync(stream)).ShouldContain("Content-Length: 100000\r\n");
        (await ReadHeadersAsync(stream)).ShouldContain("Content-Length: 5\r\n");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Files_go_over_TLS_as_well(int httpVersion)
    {
        var path = MakeFile(3_000_000, out var bytes);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(200));
        await using var server = await FileServer.StartAsync(endpoint: listen => listen.UseHttps(certificate));
        using var client = server.Client();
        client.DefaultRequestVersion = new Version(httpVersion, httpVersion == 1 ? 1 : 0);

        ShouldBeSame(await client.GetByteArrayAsync($"/file?path={path}", CancellationToken), bytes);
    }

    [Fact]
    public async Task Files_go_through_connection_middleware_that_has_to_see_the_bytes()
    {
        var path = MakeFile(3_000_000, out var bytes);
        await using var server = await FileServer.StartAsync(endpoint: listen => listen.UseConnectionLogging());
        using var client = server.Client();

        ShouldBeSame(await client.GetByteArrayAsync($"/file?path={path}", CancellationToken), bytes);
    }

    [Fact]
    public async Task Client_of_HTTP_1_0_gets_the_file_by_copying()
    {
        var path = MakeFile(3_000_000, out var bytes);
        await using var server = await FileServer.StartAsync();
        using var client = server.Client();

        using var request = new HttpRequestMessage(HttpMethod.Get, $"/file?path={path}") { Version = HttpVersion.Version10 };
        using var response = await client.SendAsync(request, CancellationToken);

        ShouldBeSame(await BodyOfAsync(response), bytes);
    }

    // Not Shouldly's own: comparing megabytes element by element takes it seconds.
    private static void ShouldBeSame(ReadOnlySpan<byte> actual, ReadOnlySpan<byte> expected)
    {
        actual.Length.ShouldBe(expected.Length);
        actual.CommonPrefixLength(expected).ShouldBe(expected.Length, "the first byte that differs");
    }

    private static string Request(string target) => $"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n";

    private static async Task<byte[]> BodyOfAsync(HttpResponseMessage response) =>
        await response.Content.ReadAsByteArrayAsync(CancellationToken);

    private static async Task<string> ReadHeadersAsync(NetworkStream stream)
    {
        var headers = new StringBuilder();
        var one = new byte[1];
        while (!headers.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            await stream.ReadExactlyAsync(one, CancellationToken);
            headers.Append((char)one[0]);
        }

        return headers.ToString();
    }

    private static async Task<long> CountToEndAsync(NetworkStream stream)
    {
        var buffer = new byte[100_000];
        long total = 0;
        try
        {
            while (await stream.ReadAsync(buffer, CancellationToken) is > 0 and var count)
            {
                total += count;
            }
        }
        catch (IOException)
        {
            // A reset is as good an end as an orderly one.
        }

        return total;
    }

    private string MakeFile(int length, out byte[] bytes)
    {
        bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        var path = Path.Combine(folder, $"file-{length}");
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private string MakeSparseFile(long length)
    {
        var path = Path.Combine(folder, $"sparse-{length}");
        using var file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write);
        RandomAccess.SetLength(file, length);
        return path;
    }
}
