using System.Buffers;
using System.Buffers.Text;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text.Json;

namespace Slipway.Cli.GoCache;

/// <summary>
/// One conversation with a go command.
/// </summary>
/// <remarks>
/// <code>
/// stdin   {"ID":1,"Command":"get","ActionID":"…"}     ─► this machine's folder ─► the server ─► file ─► answer, in any order
///         {"ID":2,"Command":"put",…,"BodySize":9}     ─► read at once, into the folder ─► answer ─► upload behind it
///         "c29tZSBib2R5"
///         {"ID":3,"Command":"close"}                  ─► uploads are waited for ─► answer, end
/// </code>
/// </remarks>
internal sealed class GoCacheSession(Stream input, TextWriter output, GoFolder folder, GoRemote remote)
{
    /// <summary>Calls to the server at once: the go command asks for as many actions as there are processors, and uploads come on top.</summary>
    private const int MostCalls = 32;

    /// <summary>The longest request line; ids and a command have some 200 characters.</summary>
    private const int LongestLine = 64 << 10;

    private readonly PipeReader reader = PipeReader.Create(input, new StreamPipeReaderOptions(bufferSize: 64 << 10));
    private readonly SemaphoreSlim calls = new(MostCalls);
    private readonly List<Task> working = [];

    /// <summary>Until the go command closes or is gone.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        Answer(new GoResponse(0, KnownCommands: ["get", "put", "close"]));
        while (await ReadRequestAsync(cancellationToken) is { } request)
        {
            switch (request.Command)
            {
                case "get" when request.ActionID is { Length: > 0 } action:
                    await StartAsync(() => GetAsync(request.ID, Hex(action), cancellationToken), cancellationToken);
                    break;
                case "put" when request.ActionID is { Length: > 0 } action:
                    await PutAsync(request, Hex(action), cancellationToken);
                    break;
                case "close":
                    await Task.WhenAll(working);
                    Answer(new GoResponse(request.ID));
                    return;
                default:
                    Answer(new GoResponse(request.ID, Err: $"unknown command {request.Command}"));
                    break;
            }
        }

        await Task.WhenAll(working);
    }

    private async Task GetAsync(long id, string action, CancellationToken cancellationToken)
    {
        GoEntry? entry = null;
        try
        {
            entry = folder.Find(action) ?? await FetchAsync(action, cancellationToken);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A full disk, or one that can't be written: it is built anew, and the compiler will say more.
        }

        Answer(entry is null
            ? new GoResponse(id, Miss: true)
            : new GoResponse(id, OutputID: Convert.FromHexString(entry.Output), Size: entry.Size, Time: entry.Time, DiskPath: entry.DiskPath));
    }

    private async Task<GoEntry?> FetchAsync(string action, CancellationToken cancellationToken)
    {
        var file = folder.NewFile();
        try
        {
            return await remote.FetchAsync(action, file, cancellationToken) is { } output ? folder.Keep(action, output, file) : null;
        }
        finally
        {
            File.Delete(file);
        }
    }

    private async Task PutAsync(GoRequest request, string action, CancellationToken cancellationToken)
    {
        var file = folder.NewFile();
        try
        {
            string actual;
            await using (var target = File.Create(file))
            {
                actual = request.BodySize > 0 ? await ReadBodyAsync(target, request.BodySize, cancellationToken) : Hex(SHA256.HashData([]));
            }

            var declared = Hex(request.OutputID ?? request.ObjectID ?? []);
            if (declared != actual)
            {
                Answer(new GoResponse(request.ID, Err: $"the body's SHA-256 is {actual}, not {declared}"));
                return;
            }

            var entry = folder.Keep(action, actual, file);
            Answer(new GoResponse(request.ID, DiskPath: entry.DiskPath));
            if (remote.IsWritten)
            {
                await StartAsync(() => remote.StoreAsync(action, entry.Output, entry.DiskPath, cancellationToken), cancellationToken);
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Runs something beside the reading of requests, when its turn has come.</summary>
    private async Task StartAsync(Func<Task> work, CancellationToken cancellationToken)
    {
        await calls.WaitAsync(cancellationToken);
        working.RemoveAll(task => task.IsCompletedSuccessfully);
        working.Add(Task.Run(async () =>
        {
            try
            {
                await work();
            }
            finally
            {
                calls.Release();
            }
        }, CancellationToken.None));
    }

    private void Answer(GoResponse response)
    {
        lock (output)
        {
            output.WriteLine(JsonSerializer.Serialize(response, GoCacheJson.Default.GoResponse));
            output.Flush();
        }
    }

    /// <summary>The next line that is not empty; null at the end of the input.</summary>
    private async ValueTask<GoRequest?> ReadRequestAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var read = await reader.ReadAsync(cancellationToken);
            var buffer = read.Buffer;
            while (buffer.PositionOf((byte)'\n') is { } end)
            {
                var line = buffer.Slice(0, end);
                buffer = buffer.Slice(buffer.GetPosition(1, end));
                if (line.Length > 1)
                {
                    var json = new Utf8JsonReader(line);
                    var request = JsonSerializer.Deserialize(ref json, GoCacheJson.Default.GoRequest);
                    reader.AdvanceTo(buffer.Start);
                    return request;
                }
            }

            if (read.IsCompleted || buffer.Length > LongestLine)
            {
                return null;
            }

            reader.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    /// <summary>Decodes <c>"base64"</c> into a stream, and returns the SHA-256 of what came out.</summary>
    private async ValueTask<string> ReadBodyAsync(Stream target, long size, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var decoded = new byte[48 << 10];
        var isOpen = false;
        while (true)
        {
            var read = await reader.ReadAsync(cancellationToken);
            var buffer = read.Buffer;
            if (!isOpen)
            {
                if (buffer.PositionOf((byte)'"') is not { } quote)
                {
                    ThrowAtEnd(read);
                    reader.AdvanceTo(buffer.End);
                    continue;
                }

                buffer = buffer.Slice(buffer.GetPosition(1, quote));
                isOpen = true;
            }

            var close = buffer.PositionOf((byte)'"');
            var text = close is null ? buffer : buffer.Slice(0, close.Value);
            // Base64 stands in groups of four; what is left of one waits for the next read.
            var whole = text.Slice(0, text.Length / 4 * 4);
            var rest = whole;
            while (rest.Length > 0)
            {
                var group = rest.Slice(0, Math.Min(rest.Length, decoded.Length / 3 * 4));
                var bytes = group.IsSingleSegment ? group.FirstSpan : group.ToArray();
                if (Base64.DecodeFromUtf8(bytes, decoded, out _, out var written) != OperationStatus.Done)
                {
                    throw new InvalidDataException("The go command sent a body that is not base64.");
                }

                hash.AppendData(decoded, 0, written);
                size -= written;
                target.Write(decoded, 0, written);
                rest = rest.Slice(group.End);
            }

            if (close is { } end)
            {
                reader.AdvanceTo(buffer.GetPosition(1, end));
                return size == 0 ? Hex(hash.GetHashAndReset()) : throw new InvalidDataException("The go command sent a body of another size than it said.");
            }

            ThrowAtEnd(read);
            reader.AdvanceTo(whole.End, buffer.End);
        }
    }

    private static void ThrowAtEnd(ReadResult read)
    {
        if (read.IsCompleted)
        {
            throw new InvalidDataException("The go command ended in the middle of a body.");
        }
    }

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);
}
