using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Slipway.Server.Telemetry;

/// <summary>What every log line carries beside its message, however it is written.</summary>
internal readonly ref struct LogLine
{
    private LogLine(string message, string? requestId, Activity? activity)
    {
        Message = message;
        RequestId = requestId;
        Activity = activity;
    }

    public string Message { get; }

    public string? RequestId { get; }

    public Activity? Activity { get; }

    public static LogLine Of<TState>(in LogEntry<TState> entry, IExternalScopeProvider? scopes)
    {
        var found = new Found();
        scopes?.ForEachScope(
            static (scope, state) =>
            {
                if (scope is Http.RequestScope request)
                {
                    state.RequestId = request.Id;
                }
            },
            found);
        return new LogLine(entry.Formatter(entry.State, entry.Exception), found.RequestId, Activity.Current);
    }

    public static string ShortName(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warn",
        LogLevel.Error => "error",
        _ => "fatal",
    };

    private sealed class Found
    {
        public string? RequestId { get; set; }
    }
}
