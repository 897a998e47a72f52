using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Nix;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Push;

/// <summary>
/// Gets one bundle to the server and waits until its paths are served:
/// <code>
/// POST archives {resumeKey} → PATCH content from the offset it has → (what it needs is done) → complete → GET ?wait until done
///        ↑                            │ cut
///        └────────────────────────────┘
/// </code>
/// </summary>
internal sealed class BundleUpload(SlipwayClient client, string org, string cache, Bundle bundle, ArchiveWriter writer, PushProgress progress, TimeProvider time)
{
    /// <summary>Tries in a row that bring nothing; any progress starts the count again.</summary>
    private const int MaxTries = 5;

    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(30);

    /// <param name="needs">Ends when all bundles this one refers to are done; only then may it be completed.</param>
    /// <returns>How many paths became visible by it.</returns>
    public async Task<int> RunAsync(Task needs, CancellationToken cancellationToken)
    {
        long reached = -1;
        string? id = null;
        for (var failures = 0; ;)
        {
            TimeSpan? asked = null;
            try
            {
                // By its id once known: when only the last answer was lost it is queued already, and the key would open a second upload.
                var archive = id is null
                    ? await client.CreateArchiveAsync(org, cache, new CreateArchiveRequest(writer.ResumeKey, bundle.Paths.Count), cancellationToken)
                    : await client.GetArchiveAsync(org, cache, id, TimeSpan.Zero, cancellationToken);
                id = archive.Id;
                if (archive.State == "uploading")
                {
                    failures = archive.Offset > reached ? 0 : failures;
                    reached = archive.Offset;
                    archive = await UploadAsync(archive, needs, cancellationToken);
                }

                return await FinishAsync(archive, cancellationToken);
            }
            catch (SlipwayUnreachableException) when (++failures < MaxTries)
            {
                // Cut: ask how far the server came.
            }
            catch (SlipwayApiException exception) when (exception.Problem.Status is 409 or 429 or 502 or 503 or 504 && ++failures < MaxTries)
            {
                // 409: our idea of the offset was wrong, which asking again puts right.
                asked = exception.RetryAfter;
            }

            progress.Retrying(failures, MaxTries);
            await Task.Delay(RetryDelay.Next(failures, asked), time, cancellationToken);
        }
    }

    private async Task<Archive> UploadAsync(Archive open, Task needs, CancellationToken cancellationToken)
    {
        var mayComplete = needs.IsCompletedSuccessfully;
        var count = new Counted(progress);
        long length = 0;
        try
        {
            var archive = await client.UploadArchiveAsync(
                org, cache, open.Id, open.Offset, mayComplete,
                async (stream, token) => length = await writer.WriteAsync(stream, open.Offset, count, token),
                cancellationToken);
            if (!mayComplete)
            {
                await needs.WaitAsync(cancellationToken);
                archive = await client.UploadArchiveAsync(
                    org, cache, open.Id, length, complete: true, static (_, _) => Task.CompletedTask, cancellationToken);
            }

            return archive ?? throw new InvalidDataException("the server took the last bytes and said nothing");
        }
        catch
        {
            count.TakeBack();
            throw;
        }
    }

    private async Task<int> FinishAsync(Archive archive, CancellationToken cancellationToken)
    {
        while (archive.State is not ("done" or "failed"))
        {
            archive = await client.GetArchiveAsync(org, cache, archive.Id, LongPoll, cancellationToken);
        }

        if (archive.State == "done")
        {
            progress.BundleDone();
            return archive.PathsAdded;
        }

        throw new CliFailure(ExitCodes.RemoteFailed, archive.Problem?.Code ?? "archive_failed", archive.Problem?.Detail ?? "the server refused an archive")
        {
            Cause = $"archive {archive.Id} with {bundle.Paths.Count} path(s), the first {bundle.Paths[0].StorePath}",
            Try = archive.Problem?.Hint is { } hint ? [hint] : [],
        };
    }

    /// <summary>Remembers what one try added to the progress, to take it off again when the try fails.</summary>
    private sealed class Counted(PushProgress progress) : IPushObserver
    {
        private long bytes;
        private int paths;

        public void Reading(PathInfo path) => progress.Reading(path);

        public void Read(int count)
        {
            bytes += count;
            progress.Add(count, 0);
        }

        public void PathRead()
        {
            paths++;
            progress.Add(0, 1);
        }

        public void TakeBack() => progress.Add(-bytes, -paths);
    }
}
