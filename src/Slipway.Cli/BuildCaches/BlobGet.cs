using System.CommandLine;
using System.Security.Cryptography;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.BuildCaches;

/// <summary><c>slipway blob get DIGEST</c>: to stdout, or to a file that appears only when it is whole and proved.</summary>
internal sealed class BlobGet : Verb
{
    private readonly Argument<string> digest;
    private readonly CacheOption cache;
    private readonly Option<string?> output;

    public BlobGet()
        : base("get", "Download a blob of a build cache and verify it")
    {
        digest = Positional("DIGEST", "64 hex digits, perhaps with sha256: or blake3: before and /size behind");
        cache = new CacheOption(this, "org/name, or name in the default org");
        output = Text("--output", "FILE", "Write to this file; to stdout unless given");
    }

    public override string Remarks => "What goes to stdout is verified as it goes: on exit code 1 throw it away. A file is only there when the digest was right. BLAKE3 is not verified here.";

    public override IReadOnlyList<string> Examples => ["blob get 9f86d081…/4096 --cache acme/main --output tool.o", "blob get 9f86d081… | less"];

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var name = run.Get(digest);
        var (org, cacheName, _) = await cache.ResolveAsync(run, cancellationToken);
        var file = run.Get(output);
        if (file is null && run.Environment.OutIsTerminal)
        {
            run.Terminal.Warn("writing bytes to a terminal; --output FILE or a pipe is kinder");
        }

        var part = file is null ? null : file + ".part";
        try
        {
            long length;
            await using (var target = part is null ? Console.OpenStandardOutput() : File.Create(part))
            {
                length = await run.Client.GetBuildBlobAsync(org, cacheName, name, (total, body, token) => CopyAsync(run, name, body, target, total, token), cancellationToken);
            }

            if (part is not null)
            {
                File.Move(part, file!, overwrite: true);
                run.Done($"wrote {Figures.Bytes(length)} to {file}");
            }
        }
        catch when (part is not null)
        {
            File.Delete(part);
            throw;
        }

        return ExitCodes.Ok;
    }

    private static async Task<long> CopyAsync(Invocation run, string name, Stream body, Stream target, long total, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var progress = new TransferProgress(run.Terminal, total);
        await progress.ShowWhileAsync(Task.Run(async () =>
        {
            var buffer = new byte[128 << 10];
            int read;
            while ((read = await body.ReadAsync(buffer, cancellationToken)) > 0)
            {
                hash.AppendData(buffer, 0, read);
                await target.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
                progress.Add(read);
            }
        }, cancellationToken));
        var actual = Convert.ToHexStringLower(hash.GetHashAndReset());
        return progress.Bytes == total && (name.StartsWith("blake3:", StringComparison.Ordinal) || name.Contains(actual, StringComparison.Ordinal))
            ? progress.Bytes
            : throw new CliFailure(ExitCodes.Failed, "digest_mismatch", $"what arrived is not {name}")
            {
                Cause = progress.Bytes == total ? $"its SHA-256 is {actual}" : $"the transfer ended after {progress.Bytes} of {total} bytes",
                Try = ["the same again; if it stays, a proxy in between changes what passes"],
            };
    }
}
