using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Slipway.Api;
using Slipway.Cli.Nar;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;
using Slipway.Native;

namespace Slipway.Cli.Push;

/// <summary>How the NARs in an archive are packed.</summary>
internal sealed record Packing(bool Zstd, int Level)
{
    public string Name => Zstd ? "zstd" : "none";
}

/// <summary>
/// Makes the stream of one archive (<see cref="ArchiveFormat"/>). The same bundle and packing give the same bytes each time, so an upload
/// that was cut goes on by making the stream again and leaving out what the server has.
/// </summary>
internal sealed class ArchiveWriter(Bundle bundle, Packing packing, NixProgram nix)
{
    // Nulls are written out: the reader insists on every field of an entry.
    private static readonly ApiJson Entries = new(new JsonSerializerOptions(ApiJson.Default.Options) { DefaultIgnoreCondition = JsonIgnoreCondition.Never });

    /// <summary>Names the content of the stream. The program's version is in it, because another one may write other bytes.</summary>
    public string ResumeKey { get; } = KeyOf(bundle, packing);

    /// <param name="skip">Bytes at the start that the server has.</param>
    /// <returns>The length of the whole stream.</returns>
    public async Task<long> WriteAsync(Stream output, long skip, IPushObserver observer, CancellationToken cancellationToken)
    {
        var rest = new RestStream(output, skip);
        using var sink = new PackingSink(rest, packing);
        await rest.WriteAsync(ArchiveFormat.Magic.ToArray(), cancellationToken);
        foreach (var path in bundle.Paths)
        {
            observer.Reading(path);
            await WriteEntryAsync(path, rest, cancellationToken);
            try
            {
                await NarWriter.WriteAsync(nix.FileOf(path.StorePath), sink, count => observer.Read(count), cancellationToken);
            }
            catch (IOException exception) when (exception is not NetworkWriteException)
            {
                throw Changed(path, exception.Message);
            }

            if (sink.Length != path.NarSize)
            {
                throw Changed(path, $"its NAR is {sink.Length} bytes, nix recorded {path.NarSize}");
            }

            await sink.FinishAsync(cancellationToken);
            await rest.WriteAsync(new byte[sizeof(uint)], cancellationToken);
            observer.PathRead();
        }

        await rest.FlushAsync(cancellationToken);
        return rest.Made;
    }

    private async Task WriteEntryAsync(PathInfo path, RestStream rest, CancellationToken cancellationToken)
    {
        var entry = JsonSerializer.SerializeToUtf8Bytes(
            new ArchiveEntry(path.StorePath, path.NarHash, path.NarSize, path.References, path.Deriver, path.ContentAddress, path.Signatures, packing.Name),
            Entries.ArchiveEntry);
        if (entry.Length > ArchiveFormat.MaxEntryBytes)
        {
            throw new CliFailure(ExitCodes.Failed, "entry_too_large", $"{path.StorePath} has too many references to push: {path.References.Count}");
        }

        var length = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)entry.Length);
        await rest.WriteAsync(length, cancellationToken);
        await rest.WriteAsync(entry, cancellationToken);
    }

    private static CliFailure Changed(PathInfo path, string cause) =>
        new(ExitCodes.Failed, "path_damaged", $"{path.StorePath} is not what nix registered")
        {
            Cause = cause,
            Try = [$"nix-store --verify-path {path.StorePath}", $"nix-store --repair-path {path.StorePath}"],
        };

    private static string KeyOf(Bundle bundle, Packing packing)
    {
        var text = new StringBuilder($"slipway-archive-1 {CliVersion.Text} {packing.Name} {packing.Level}\n");
        foreach (var path in bundle.Paths)
        {
            text.Append($"{path.StorePath} {path.NarHash}\n");
        }

        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    /// <summary>Packs blocks and frames them as chunks.</summary>
    private sealed class PackingSink(Stream output, Packing packing) : BlockSink, IDisposable
    {
        private const int Header = sizeof(uint);

        private readonly ZstdCompressor? zstd = packing.Zstd ? new ZstdCompressor(packing.Level) : null;
        private readonly byte[] chunk = new byte[Header + BlockSize];
        private int packed;

        public void Dispose() => zstd?.Dispose();

        protected override async ValueTask TakeBlockAsync(ReadOnlyMemory<byte> bytes, bool last, CancellationToken cancellationToken)
        {
            if (zstd is null)
            {
                bytes.Span.CopyTo(chunk.AsSpan(Header));
                packed = bytes.Length;
                await SendChunkAsync(cancellationToken);
                return;
            }

            while (true)
            {
                var result = zstd.Compress(bytes.Span, chunk.AsSpan(Header + packed), last);
                bytes = bytes[result.Consumed..];
                packed += result.Written;
                if (last ? result.FrameEnded : bytes.Length == 0)
                {
                    break;
                }

                if (packed == chunk.Length - Header)
                {
                    await SendChunkAsync(cancellationToken);
                }
            }

            if (last || packed == chunk.Length - Header)
            {
                await SendChunkAsync(cancellationToken);
            }
        }

        private async ValueTask SendChunkAsync(CancellationToken cancellationToken)
        {
            if (packed == 0)
            {
                return;
            }

            BinaryPrimitives.WriteUInt32LittleEndian(chunk, (uint)packed);
            await output.WriteAsync(chunk.AsMemory(0, Header + packed), cancellationToken);
            packed = 0;
        }
    }
}

/// <summary>Writing to the server failed, as opposed to reading a store path.</summary>
internal sealed class NetworkWriteException(IOException inner) : IOException(inner.Message, inner);

/// <summary>Passes on what comes after the first <paramref name="skip"/> bytes.</summary>
internal sealed class RestStream(Stream output, long skip) : Stream
{
    /// <summary>Bytes made so far, those left out included.</summary>
    public long Made { get; private set; }

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => Made; set => throw new NotSupportedException(); }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var left = (int)Math.Clamp(skip - Made, 0, buffer.Length);
        Made += buffer.Length;
        if (left == buffer.Length)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return;
        }

        try
        {
            await output.WriteAsync(buffer[left..], cancellationToken);
        }
        catch (IOException exception)
        {
            throw new NetworkWriteException(exception);
        }
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => output.FlushAsync(cancellationToken);

    public override void Flush() => output.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}

/// <summary>Watches bytes and paths go by.</summary>
internal interface IPushObserver
{
    void Reading(PathInfo path);

    void Read(int bytes);

    void PathRead();
}
