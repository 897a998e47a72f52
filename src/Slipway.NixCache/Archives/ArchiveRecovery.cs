using System.Text.Json;
using Dapper;
using Slipway.Api;
using Slipway.Data;

namespace Slipway.NixCache;

/// <summary>
/// Heals what a kill or a lost Redis left between the steps of a push: archives that are queued without a job get one, unfinished
/// ones nobody continues are dropped, files without an archive are removed.
/// </summary>
internal sealed class ArchiveRecovery(Database database, ArchiveFiles files, ArchiveWaiters waiters, NixJobs jobs, NixCacheOptions options, TimeProvider time)
{
    /// <summary>Finished archives stay to be asked about for this long.</summary>
    private static readonly TimeSpan KeepFinished = TimeSpan.FromDays(1);

    private static readonly Problem GaveUp = new()
    {
        Title = "The archive could not be processed",
        Status = 500,
        Code = ProblemCodes.Internal,
        Detail = "Every attempt failed on the server's side. Push again; if that fails as well, its operator finds the reason in the dead letters of the queue nix.",
        Retryable = true,
    };

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        var waiting = await connection.QueryAsync<Guid>(new CommandDefinition(
            "select id from nix_archive where state in ('queued', 'running') order by touched_at", cancellationToken: cancellationToken));
        foreach (var archive in waiting)
        {
            if (!await jobs.IsArchiveDeadAsync(archive, cancellationToken))
            {
                await jobs.EnqueueArchiveAsync(archive, cancellationToken);
            }
            else
            {
                await connection.ExecuteAsync(new CommandDefinition(
                    "update nix_archive set state = 'failed', problem = @problem::jsonb, finished_at = @now where id = @archive",
                    new { archive, problem = JsonSerializer.Serialize(GaveUp, ApiJson.Default.Problem), now = time.GetUtcNow() }, cancellationToken: cancellationToken));
                waiters.Wake(archive);
            }
        }

        var now = time.GetUtcNow();
        var dropped = await connection.QueryAsync<Guid>(new CommandDefinition(
            """
            delete from nix_archive where (state = 'uploading' and touched_at < @abandoned) or (state in ('done', 'failed') and finished_at < @forgotten)
            returning id
            """,
            new { abandoned = now - options.AbandonedUploadAge, forgotten = now - KeepFinished }, cancellationToken: cancellationToken));
        foreach (var archive in dropped)
        {
            waiters.Wake(archive);
        }

        var held = files.List().ToList();
        var needed = (await connection.QueryAsync<Guid>(new CommandDefinition(
            "select id from nix_archive where id = any(@held) and state in ('uploading', 'queued', 'running')", new { held = held.ToArray() }, cancellationToken: cancellationToken))).ToHashSet();
        foreach (var archive in held.Where(archive => !needed.Contains(archive)))
        {
            files.Delete(archive);
        }
    }
}
