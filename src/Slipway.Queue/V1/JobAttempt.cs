using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Slipway.Resp;

namespace Slipway.Queue.V1;

internal enum JobEndKind
{
    Completed,
    Failed,
    Dead,
    Released,
    Lost,
}

internal readonly record struct JobEnd(JobEndKind Kind, string Error);

/// <summary>One run of one handler under one lease: renews the lease, and turns whatever happens into one <see cref="JobEnd"/>.</summary>
internal sealed partial class JobAttempt(Lease lease, WorkQueue queue, QueueWorkerOptions options, TimeProvider time, ILogger logger)
{
    private volatile bool handlerEnded;

    /// <param name="end">Stores the end; called while the lease is still being renewed, so that a Redis that is away for a while costs no second run.</param>
    public async Task RunAsync(
        Func<Job, CancellationToken, Task>? handler, QueueWorker.Run run, Func<Lease, JobEnd, CancellationToken, QueueWorker.Run, Task> end)
    {
        using var lost = new CancellationTokenSource();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(run.Abandon.Token);
        Task renewing = RenewAsync(lost, ended.Token);
        try
        {
            JobEnd outcome = await HandleAsync(handler, run.CancelHandlers.Token, lost.Token);
            handlerEnded = true;
            if (outcome.Kind is not JobEndKind.Lost)
            {
                await end(lease, outcome, lost.Token, run);
            }
        }
        finally
        {
            await ended.CancelAsync();
            await renewing;
        }
    }

    private async Task<JobEnd> HandleAsync(Func<Job, CancellationToken, Task>? handler, CancellationToken stop, CancellationToken lost)
    {
        Job job = lease.Job;
        if (handler is null)
        {
            return new JobEnd(JobEndKind.Dead, $"no handler for jobs of type {job.Type} in this worker");
        }

        using Activity? activity = StartActivity(job);
        using var overrun = new CancellationTokenSource(options.MaxRunTime, time);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(stop, lost, overrun.Token);
        long startedAt = time.GetTimestamp();
        QueueTelemetry.Running.Add(1, QueueTelemetry.Queue(queue.Name));
        try
        {
            await handler(job, cancel.Token);
            return new JobEnd(JobEndKind.Completed, "");
        }
        catch (PermanentJobException fault)
        {
            activity?.SetStatus(ActivityStatusCode.Error, fault.Message);
            Log.DiedPermanently(logger, job.Type, job.Id, fault);
            return new JobEnd(JobEndKind.Dead, fault.Message);
        }
        catch (Exception) when (lost.IsCancellationRequested)
        {
            Log.LeaseLost(logger, job.Type, job.Id);
            return new JobEnd(JobEndKind.Lost, "");
        }
        catch (Exception fault) when (stop.IsCancellationRequested)
        {
            // Cancelled handlers fail in many ways (a closed socket, a killed child); none of them is the job's fault.
            Log.GivenBack(logger, job.Type, job.Id, fault.GetType().Name);
            return new JobEnd(JobEndKind.Released, "");
        }
        catch (Exception fault)
        {
            string error = overrun.IsCancellationRequested ? $"ran longer than {options.MaxRunTime}" : $"{fault.GetType().Name}: {fault.Message}";
            activity?.SetStatus(ActivityStatusCode.Error, error);
            Log.Failed(logger, job.Type, job.Id, job.Attempt, fault);
            return new JobEnd(JobEndKind.Failed, error);
        }
        finally
        {
            QueueTelemetry.Running.Add(-1, QueueTelemetry.Queue(queue.Name));
            QueueTelemetry.Run.Record(time.GetElapsedTime(startedAt).TotalSeconds, QueueTelemetry.Queue(queue.Name));
        }
    }

    /// <summary>
    /// Extends the lease after each third of it. While Redis cannot be reached the handler goes on: nobody else can have taken the
    /// job through that Redis either, and if somebody did in the meantime, the first answer says so.
    /// </summary>
    private async Task RenewAsync(CancellationTokenSource lost, CancellationToken ended)
    {
        long startedAt = time.GetTimestamp();
        TimeSpan pause = options.Visibility / 3;
        while (true)
        {
            await Task.Delay(pause, time, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (ended.IsCancellationRequested)
            {
                return;
            }

            if (!handlerEnded && time.GetElapsedTime(startedAt) > options.MaxRunTime + options.AbandonAfter)
            {
                Log.Hangs(logger, lease.Job.Type, lease.Job.Id, options.MaxRunTime);
                return;
            }

            try
            {
                if (!await queue.ExtendAsync(lease, options.Visibility, ended))
                {
                    await lost.CancelAsync();
                    return;
                }

                pause = options.Visibility / 3;
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested)
            {
                return;
            }
            catch (RespException fault)
            {
                Log.RenewFailed(logger, lease.Job.Id, fault);
                pause = options.Visibility / 10;
            }
        }
    }

    private static Activity? StartActivity(Job job)
    {
        ActivityContext.TryParse(job.TraceParent, job.TraceState, isRemote: true, out ActivityContext parent);
        Activity? activity = QueueTelemetry.Source.StartActivity($"run {job.Type}", ActivityKind.Consumer, parent);
        activity?.SetTag("slipway.job.id", job.Id);
        activity?.SetTag("slipway.job.attempt", job.Attempt);
        return activity;
    }

    private static partial class Log
    {
        [LoggerMessage(10, LogLevel.Warning, "{Type} job {Id} failed in attempt {Attempt}")]
        public static partial void Failed(ILogger logger, string type, string id, int attempt, Exception fault);

        [LoggerMessage(11, LogLevel.Error, "{Type} job {Id} cannot succeed and is a dead letter now")]
        public static partial void DiedPermanently(ILogger logger, string type, string id, Exception fault);

        [LoggerMessage(12, LogLevel.Warning, "The lease of {Type} job {Id} is lost; its handler was cancelled")]
        public static partial void LeaseLost(ILogger logger, string type, string id);

        [LoggerMessage(13, LogLevel.Information, "{Type} job {Id} is given back at the stop ({Reason})")]
        public static partial void GivenBack(ILogger logger, string type, string id, string reason);

        [LoggerMessage(14, LogLevel.Warning, "The lease of job {Id} could not be extended; trying again")]
        public static partial void RenewFailed(ILogger logger, string id, Exception fault);

        [LoggerMessage(15, LogLevel.Error, "The handler of {Type} job {Id} ignores that it ran longer than {Limit}; its lease is not extended any more")]
        public static partial void Hangs(ILogger logger, string type, string id, TimeSpan limit);
    }
}
