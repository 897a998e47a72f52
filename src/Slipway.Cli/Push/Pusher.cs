using Slipway.Api.Client;
using Slipway.Cli.Nix;

namespace Slipway.Cli.Push;

/// <summary>
/// Uploads bundles side by side, in order of their index. A bundle is completed only after those it needs are done, so the server never
/// sees a path before what it refers to.
/// </summary>
/// <remarks>
/// A bundle keeps its slot while it waits for others. That can't lock up: slots are given in order and a bundle needs only lower ones,
/// so the lowest that is not done never waits. It bounds what the server has to hold to <paramref name="jobs"/> unfinished archives.
/// </remarks>
internal sealed class Pusher(SlipwayClient client, string org, string cache, Packing packing, NixProgram nix, int jobs, TimeProvider time)
{
    /// <returns>How many paths became visible.</returns>
    public async Task<int> RunAsync(IReadOnlyList<Bundle> bundles, PushProgress progress, CancellationToken cancellationToken)
    {
        // Cancelled when one bundle fails: the rest would be work for nothing, and can be taken up by the next run.
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var slots = new SemaphoreSlim(jobs);
        var tasks = new List<Task<int>>(bundles.Count);
        Exception? first = null;
        foreach (var bundle in bundles)
        {
            try
            {
                await slots.WaitAsync(stop.Token);
            }
            catch (OperationCanceledException)
            {
                break;
            }

            tasks.Add(RunOneAsync(bundle, [.. bundle.Needs.Select(need => tasks[need])]));
        }

        try
        {
            await Task.WhenAll(tasks);
        }
        catch (Exception) when (first is not null)
        {
            // The others only stopped because the first failed.
        }

        cancellationToken.ThrowIfCancellationRequested();
        if (first is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
        }

        return tasks.Sum(task => task.Result);

        async Task<int> RunOneAsync(Bundle bundle, Task<int>[] needed)
        {
            try
            {
                var needs = Task.WhenAll(needed);
                var upload = new BundleUpload(client, org, cache, bundle, new ArchiveWriter(bundle, packing, nix), progress, time);
                return await Task.Run(() => upload.RunAsync(needs, stop.Token), stop.Token);
            }
            catch (Exception exception)
            {
                if (!stop.IsCancellationRequested)
                {
                    first = exception;
                    await stop.CancelAsync();
                }

                throw;
            }
            finally
            {
                slots.Release();
            }
        }
    }
}
