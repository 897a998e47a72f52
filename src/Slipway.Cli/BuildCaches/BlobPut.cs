using System.CommandLine;
using System.Security.Cryptography;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway blob put FILE</c>: prints the digest under which it is now.</summary>
internal sealed class BlobPut : Verb
{
    private readonly Argument<string> file;
    private readonly CacheOption cache;

    public BlobPut()
        : base("put", "Upload a file as a blob of a build cache, and print its digest")
    {
        file = Positional("FILE", "The file to upload");
        cache = new CacheOption(this, "org/name, or name in the default org");
    }

    public override string Remarks => "The file is read twice: to hash it, and to send it. The server verifies what arrives.";

    public override IReadOnlyList<string> Examples => ["blob put toolchain.tar --cache acme/main"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var path = run.Get(file);
        if (!File.Exists(path))
        {
            throw CliFailure.Usage($"there is no file {path}");
        }

        var (org, name, _) = await cache.ResolveAsync(run, cancellationToken);
        await using var content = File.OpenRead(path);
        var hash = Convert.ToHexStringLower(await SHA256.HashDataAsync(content, cancellationToken));
        content.Position = 0;
        var progress = new TransferProgress(run.Terminal, content.Length);
        await progress.ShowWhileAsync(run.Client.PutBuildBlobAsync(org, name, $"sha256:{hash}", new CountingStream(content, progress), content.Length, cancellationToken));
        var stat = await run.Client.StatBuildBlobAsync(org, name, $"sha256:{hash}", cancellationToken);
        run.Write(stat, json => json.BlobStat, _ => $"{hash}/{stat.Bytes}", _ => run.Out.WriteLine($"{hash}/{stat.Bytes}"));
        run.Done($"uploaded {Figures.Bytes(stat.Bytes)} to {org}/{name}");
        return ExitCodes.Ok;
    }

    /// <summary>Tells the progress what was read of a file.</summary>
    private sealed class CountingStream(Stream inner, TransferProgress progress) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count)
        {
            var read = inner.Read(buffer, offset, count);
            progress.Add(read);
            return read;
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = await inner.ReadAsync(buffer, cancellationToken);
            progress.Add(read);
            return read;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
