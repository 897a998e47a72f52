using System.CommandLine;
using Slipway.Cli.Jobs.Benching;
using Slipway.Cli.Jobs.Chaos;
using Slipway.Cli.Jobs.DeadLetters;
using Slipway.Cli.Jobs.Producing;
using Slipway.Cli.Jobs.Queues;
using Slipway.Cli.Jobs.Schedules;
using Slipway.Cli.Jobs.Watching;
using Slipway.Cli.Jobs.Working;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Jobs;

/// <summary>Everything under <c>slipway jobs</c>, in the order of its help page. A new verb is a class and a line here.</summary>
internal sealed class JobsNoun : Command
{
    public JobsNoun(string summary)
        : base("jobs", summary)
    {
        Add(new Noun("queue", "Queues of an org", new QueueCreate(), new QueueList(), new QueueShow(), new QueueUpdate(), new QueueDelete()));
        Add(new EnqueueJobs());
        Add(new WorkOnJobs());
        Add(new ScanFolder());
        Add(new ShowStats());
        Add(new PeekJobs());
        Add(new ShowJob());
        Add(new CancelJob());
        Add(new ListWorkers());
        Add(PauseJobs.Pause());
        Add(PauseJobs.Resume());
        Add(new Noun("limits", "Rate, concurrency and circuit breaker by job type", new LimitList(), new LimitSet(), new LimitRemove()));
        Add(new Noun("dead", "Dead letters: jobs that failed for good", new DeadList()));
        Add(new RedriveJobs());
        Add(new PurgeDeadLetters());
        Add(new Noun("cron", "Schedules that enqueue jobs", new CronList(), new CronSet(), new CronDelete()));
        Add(new BenchQueue());
        Add(new RunChaos());
    }
}
