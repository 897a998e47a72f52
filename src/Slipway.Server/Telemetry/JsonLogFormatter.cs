using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace Slipway.Server.Telemetry;

/// <summary>
/// One JSON object a line: <c>time level category message traceId spanId requestId</c>, then the message's own fields under
/// <c>fields</c>, then <c>exception</c>. The stock formatter nests scopes and repeats the template; log stores want it flat.
/// </summary>
internal sealed class JsonLogFormatter(TimeProvider time) : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "slipway-json";

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var line = LogLine.Of(logEntry, scopeProvider);
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            json.WriteStartObject();
            json.WriteString("time"u8, time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            json.WriteString("level"u8, LogLine.ShortName(logEntry.LogLevel));
            json.WriteString("category"u8, logEntry.Category);
            json.WriteString("message"u8, line.Message);
            if (line.Activity is { } activity)
            {
                json.WriteString("traceId"u8, activity.TraceId.ToHexString());
                json.WriteString("spanId"u8, activity.SpanId.ToHexString());
            }

            if (line.RequestId is not null)
            {
                json.WriteString("requestId"u8, line.RequestId);
            }

            if (logEntry.State is IReadOnlyList<KeyValuePair<string, object?>> { Count: > 1 } fields)
            {
                json.WriteStartObject("fields"u8);
                foreach (var field in fields)
                {
                    if (field.Key != "{OriginalFormat}")
                    {
                        WriteField(json, field);
                    }
                }

                json.WriteEndObject();
            }

            if (logEntry.Exception is not null)
            {
                json.WriteString("exception"u8, logEntry.Exception.ToString());
            }

            json.WriteEndObject();
        }

        textWriter.Write(Encoding.UTF8.GetString(buffer.WrittenSpan));
        textWriter.Write('\n');
    }

    private static void WriteField(Utf8JsonWriter json, KeyValuePair<string, object?> field)
    {
        switch (field.Value)
        {
            case null:
                json.WriteNull(field.Key);
                break;
            case bool truth:
                json.WriteBoolean(field.Key, truth);
                break;
            case int or long or short or byte or uint:
                json.WriteNumber(field.Key, Convert.ToInt64(field.Value, CultureInfo.InvariantCulture));
                break;
            case double number when double.IsFinite(number):
                json.WriteNumber(field.Key, number);
                break;
            default:
                json.WriteString(field.Key, Convert.ToString(field.Value, CultureInfo.InvariantCulture));
                break;
        }
    }
}
