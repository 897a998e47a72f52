using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Slipway.Server.Commands;

namespace Slipway.Server.Telemetry;

/// <summary>One line for a person: time, level, part, message, and the ids to search by at the end.</summary>
internal sealed class ConsoleLogFormatter(TimeProvider time) : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "slipway-console";

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var line = LogLine.Of(logEntry, scopeProvider);
        var terminal = Terminal.Out;
        var level = LogLine.ShortName(logEntry.LogLevel).PadRight(5);
        textWriter.Write(terminal.Dim(time.GetLocalNow().ToString("HH:mm:ss.fff", CultureInfo.InvariantCulture)));
        textWriter.Write(' ');
        textWriter.Write(logEntry.LogLevel switch
        {
            >= LogLevel.Error => terminal.Red(level),
            LogLevel.Warning => terminal.Bold(level),
            LogLevel.Information => terminal.Green(level),
            _ => terminal.Dim(level),
        });
        textWriter.Write(' ');
        textWriter.Write(terminal.Cyan(logEntry.Category[(logEntry.Category.LastIndexOf('.') + 1)..].PadRight(18)));
        textWriter.Write(' ');
        foreach (var character in line.Message)
        {
            // A message may quote a client: nothing in it may start a line of its own or move the cursor.
            textWriter.Write(char.IsControl(character) ? ' ' : character);
        }

        var ids = $"{(line.RequestId is null ? "" : $"  request={line.RequestId}")}{(line.Activity is { } activity ? $"  trace={activity.TraceId} span={activity.SpanId}" : "")}";
        textWriter.Write(ids.Length == 0 ? "\n" : terminal.Dim(ids) + "\n");
        if (logEntry.Exception is not null)
        {
            textWriter.Write(logEntry.Exception + "\n");
        }
    }
}
