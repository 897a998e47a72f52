using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Slipway.Server.Hosting;

/// <summary>Times the phases of a start, because "serving within 2 s" is a promise and somebody has to find who broke it.</summary>
internal sealed partial class StartUpClock(TimeProvider time)
{
    private readonly List<(string Phase, TimeSpan Took)> phases = [];
    private readonly long started = time.GetTimestamp();
    private long last = time.GetTimestamp();

    public TimeSpan Total => time.GetElapsedTime(started);

    public void Done(string phase)
    {
        var now = time.GetTimestamp();
        phases.Add((phase, time.GetElapsedTime(last, now)));
        last = now;
    }

    public void WriteTo(ILogger logger) => Log.Started(
        logger,
        Total.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture),
        string.Join(", ", phases.Select(phase => string.Create(CultureInfo.InvariantCulture, $"{phase.Phase} {phase.Took.TotalMilliseconds:0}"))));

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "serving after {Milliseconds} ms: {Phases}")]
        public static partial void Started(ILogger logger, string milliseconds, string phases);
    }
}
