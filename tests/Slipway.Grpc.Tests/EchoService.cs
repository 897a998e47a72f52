using System.Buffers;
using Microsoft.AspNetCore.Builder;

namespace Slipway.Grpc.Tests;

/// <summary>
/// The methods that our own client and the foreign ones call. Messages are <c>message Note { bytes text = 1; int32 count = 2; }</c>.
/// </summary>
internal static class EchoService
{
    public const string Name = "/slipway.test.Echo/";

    public static void Map(WebApplication app)
    {
        app.UseGrpcAnswers();
        app.MapGrpc(Name + "Unary", GrpcMethodKind.Unary, async call =>
        {
            var request = await call.ReadRequestAsync();
            // What came as metadata goes back in the headers and in the trailers.
            if (call.Metadata.Get("x-note") is { } note)
            {
                call.ResponseHeaders["x-note"] = note;
            }

            foreach (var (at, bytes) in call.Metadata.GetAllBinary("x-note-bin").Index())
            {
                call.SetBinaryTrailer($"x-note-{at}-bin", bytes);
            }

            call.WriteMessage(request.ToArray());
        }, maxMessageBytes: 8 << 20);

        // Sends the note back count times.
        app.MapGrpc(Name + "ServerStream", GrpcMethodKind.ServerStreaming, async call =>
        {
            var note = Note.Parse((await call.ReadRequestAsync()).ToArray());
            for (var i = 1; i <= note.Count; i++)
            {
                call.WriteMessage(new Note(note.Text, i).ToBytes());
                await call.FlushIfFullAsync();
            }
        });

        // Counts messages and bytes.
        app.MapGrpc(Name + "ClientStream", GrpcMethodKind.ClientStreaming, async call =>
        {
            var (count, bytes) = (0, 0L);
            while (await call.ReadMessageAsync() is { } message)
            {
                count++;
                bytes += message.Length;
            }

            call.WriteMessage(new Note(bytes.ToString(System.Globalization.CultureInfo.InvariantCulture), count).ToBytes());
        });

        app.MapGrpc(Name + "Bidi", GrpcMethodKind.BidiStreaming, async call =>
        {
            while (await call.ReadMessageAsync() is { } message)
            {
                call.WriteMessage(message.ToArray());
                await call.FlushAsync();
            }
        });

        // Fails with the status of count; the text is the message.
        app.MapGrpc(Name + "Fail", GrpcMethodKind.Unary, async call =>
        {
            var note = Note.Parse((await call.ReadRequestAsync()).ToArray());
            throw new GrpcException((GrpcStatus)note.Count, note.Text, GrpcDetail.RetryAfter(TimeSpan.FromMilliseconds(1500)), GrpcDetail.ErrorInfo("ON_PURPOSE", "slipway.test"));
        });

        // One answer, then the status of count.
        app.MapGrpc(Name + "FailLate", GrpcMethodKind.ServerStreaming, async call =>
        {
            var note = Note.Parse((await call.ReadRequestAsync()).ToArray());
            call.WriteMessage(note.ToBytes());
            await call.FlushAsync();
            call.Fail((GrpcStatus)note.Count, note.Text);
        });

        app.MapGrpc(Name + "Throw", GrpcMethodKind.Unary, _ => throw new InvalidOperationException("internal-detail-nobody-may-see"));

        // Answers never.
        app.MapGrpc(Name + "Hang", GrpcMethodKind.Unary, async call =>
        {
            await call.ReadRequestAsync();
            await new TaskCompletionSource().Task.WaitAsync(call.Aborted);
        });
    }
}

/// <summary><c>message Note { string text = 1; int32 count = 2; }</c></summary>
internal sealed record Note(string Text, int Count)
{
    public byte[] ToBytes()
    {
        var bytes = new ProtoWriter();
        bytes.Text(1, Text);
        bytes.Number(2, (ulong)Count);
        return bytes.ToArray();
    }

    public static Note Parse(ReadOnlySpan<byte> bytes)
    {
        var note = new Note("", 0);
        var fields = new ProtoReader(bytes);
        while (fields.Read())
        {
            note = fields.Field == 1 ? note with { Text = fields.Text } : note with { Count = (int)fields.Number };
        }

        return note;
    }
}
