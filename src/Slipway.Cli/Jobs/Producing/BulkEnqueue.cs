using System.Buffers;
using System.Globalization;
using Slipway.Api;
using Slipway.Api.Client;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Jobs.Producing;

/// <summary>Sends any number of jobs, each a line of JSON, in blocks; waits while the queue is full.</summary>
/// <param name="unit">What a job is called when one is refused: line, file.</param>
/// <param name="answered">Told each answer, in order.</param>
internal sealed class BulkEnqueue(Invocation run, string org, string queue, string? durability, string unit, Action<EnqueuedJobs> answered)
{
    /// <summary>One step of the queue; the server adds such a block whole or not at all.</summary>
    public const int BlockJobs = 1000;

    /// <summary>A payload of 256 KiB in base64, and what stands around it.</summary>
    public const int LongestLine = 512 * 1024;

    /// <summary>Half of what the server takes at most, so that a block with one long line more still goes.</summary>
    private const int BlockBytes = 8 * 1024 * 1024;

    private long sent;

    public async Task RunAsync(IAsyncEnumerable<ReadOnlyMemory<byte>> jobs, CancellationToken cancellationToken)
    {
        var (filling, sending) = (new ArrayBufferWriter<byte>(), new ArrayBufferWriter<byte>());
        var count = 0;
        // The next block is read while one is under way; only one is, so that jobs keep their order.
        var underWay = Task.CompletedTask;
        try
        {
            await foreach (var job in jobs.WithCancellation(cancellationToken))
            {
                filling.Write(job.Span);
                filling.Write("\n"u8);
                if (++count == BlockJobs || filling.WrittenCount >= BlockBytes)
                {
                    await underWay;
                    (filling, sending) = (sending, filling);
                    filling.ResetWrittenCount();
                    underWay = SendAsync(sending.WrittenMemory, count, cancellationToken);
                    count = 0;
                }
            }
        }
        finally
        {
            await underWay;
        }

        if (count > 0)
        {
            await SendAsync(filling.WrittenMemory, count, cancellationToken);
        }
    }

    public async Task SendAsync(ReadOnlyMemory<byte> block, int count, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var answer = await run.Client.EnqueueLinesAsync(org, queue, block, durability, cancellationToken);
                answered(answer);
                sent += answer.Jobs.Count;
                if (answer.Jobs.Count != count)
                {
                    throw new InvalidDataException($"sent {count} jobs and the server answered for {answer.Jobs.Count}");
                }

                return;
            }
            catch (SlipwayApiException full) when (full.Problem.Code == "queue_full")
            {
                var wait = RetryDelay.Next(attempt, full.RetryAfter);
                run.Terminal.Warn($"{org}/{queue} is full after {Figures.Count(sent, "job")}; waiting for room, again in {Figures.Duration(wait)}");
                await Task.Delay(wait, run.Environment.Time, cancellationToken);
            }
            catch (SlipwayApiException refused) when (refused.Problem.Errors is { Count: > 0 } faults && sent > 0)
            {
                throw new CliFailure(ExitCodes.Of(refused.Problem), refused.Problem.Code, refused.Message)
                {
                    Cause = string.Join("; ", faults.Select(fault => $"{fault.Pointer.TrimStart('/')}: {fault.Detail}")),
                    Try = [string.Create(CultureInfo.InvariantCulture, $"the {unit}s from number {sent + 1} on, mended: the {sent:#,0} before are in the queue")],
                };
            }
        }
    }
}
