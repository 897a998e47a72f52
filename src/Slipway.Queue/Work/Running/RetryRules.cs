namespace Slipway.Queue.Work;

/// <param name="Policy">Null: give up.</param>
internal sealed record RetryRule(Type Error, RetryPolicy? Policy);

/// <summary>What becomes of a failed run: the first rule that fits the error, else the handler's policy, else the queue's.</summary>
internal sealed class RetryRules(RetryPolicy? standard, IReadOnlyList<RetryRule> rules)
{
    /// <summary>As the dead letters keep it (<see cref="JobEnd"/>).</summary>
    private const int MaxReason = 100;

    private const int MaxError = 2000;

    public JobEnd EndOf(int index, Job job, Exception error, RetryBudget budget)
    {
        // An operation cancelled by somebody else's token is a failure like any other.
        string reason = Cut(error is PermanentJobException { Reason: { } given } ? given : ReasonOf(error), MaxReason);
        string text = Cut(error.ToString(), MaxError);
        if (error is PermanentJobException)
        {
            return new JobEnd(index, JobEndKind.Dead, Reason: reason, Error: text);
        }

        RetryRule? rule = rules.FirstOrDefault(rule => rule.Error.IsInstanceOfType(error));
        return rule is { Policy: null }
            ? new JobEnd(index, JobEndKind.Dead, Reason: reason, Error: text)
            : Again(index, job, rule?.Policy ?? standard, reason, text, budget);
    }

    public JobEnd TimedOut(int index, Job job, TimeSpan after, bool stopped, RetryBudget budget) =>
        Again(index, job, standard, "timeout", $"Cancelled after {after}{(stopped ? "" : ", and its handler did not return: it may still run")}.", budget);

    private static JobEnd Again(int index, Job job, RetryPolicy? policy, string reason, string text, RetryBudget budget)
    {
        if (policy is null)
        {
            return new JobEnd(index, JobEndKind.Failed, Reason: reason, Error: text);
        }

        policy = job.MaxAttempts > 0 ? policy with { MaxAttempts = job.MaxAttempts } : policy;
        return policy.DelayAfter(job.Attempt, Random.Shared.NextDouble()) is { } delay
            ? new JobEnd(index, JobEndKind.Retry, budget.TryTake() ? delay : Longest(policy), reason, text)
            : new JobEnd(index, JobEndKind.Dead, Reason: reason, Error: text);
    }

    private static TimeSpan Longest(RetryPolicy policy) => policy.MaxDelay * (0.5 + (Random.Shared.NextDouble() / 2));

    private static string ReasonOf(Exception error) => error switch
    {
        PermanentJobException { InnerException: { } inner } => inner.GetType().Name,
        PermanentJobException => "permanent",
        _ => error.GetType().Name,
    };

    private static string Cut(string text, int length) => text.Length <= length ? text : text[..length];
}
