using System.Security.Cryptography;

namespace Slipway.Api.Client;

/// <summary>How long to wait before another try.</summary>
public static class RetryDelay
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    /// <summary>A server may ask for minutes; a person at a prompt is told instead of kept waiting longer than this.</summary>
    private static readonly TimeSpan LongestAsked = TimeSpan.FromSeconds(60);

    /// <summary>
    /// What the server asked for plus up to a quarter, else 200 ms doubling to 10 s, of which a random half to whole: many clients cut
    /// off at one moment must not come back at one moment.
    /// </summary>
    public static TimeSpan Next(int attempt, TimeSpan? asked)
    {
        var random = RandomNumberGenerator.GetInt32(0, 1001) / 1000.0;
        if (asked is { } wanted && wanted >= TimeSpan.Zero)
        {
            return (wanted > LongestAsked ? LongestAsked : wanted) * (1 + (random / 4));
        }

        var doubled = First * Math.Pow(2, Math.Min(attempt - 1, 16));
        return (doubled > Longest ? Longest : doubled) * (0.5 + (random / 2));
    }
}
