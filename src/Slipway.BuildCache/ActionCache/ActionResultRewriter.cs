using System.Buffers;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Wire;
using Slipway.Content;

namespace Slipway.BuildCache.ActionCache;

/// <summary>Copies of ActionResult messages with something added, field by field, so that what is not known here survives.</summary>
internal static class ActionResultRewriter
{
    /// <summary>Inlined bytes in one answer: the rest of a 4 MiB message is for the result itself.</summary>
    public const int InlineBudget = 3 * 1024 * 1024;

    private const int OutputFiles = 2;
    private const int StdoutRaw = 5;
    private const int StdoutDigest = 6;
    private const int StderrRaw = 7;
    private const int StderrDigest = 8;
    private const int Metadata = 9;

    /// <summary>
    /// The result with a worker's name in its metadata. Clients that ran the action themselves send none, and a result without
    /// outputs would then be an empty message, which some take for no result.
    /// </summary>
    public static byte[] WithWorker(ReadOnlySpan<byte> result, ReadOnlySpan<byte> worker)
    {
        ReadOnlySpan<byte> metadata = default;
        var reader = new ProtoReader(result);
        while (reader.Next(out var field))
        {
            if (field == Metadata)
            {
                metadata = reader.Bytes();
            }
            else
            {
                reader.Skip();
            }
        }

        var inner = new ProtoReader(metadata);
        while (inner.Next(out var field))
        {
            if (field == 1 && !inner.Bytes().IsEmpty)
            {
                return result.ToArray();
            }

            if (field != 1)
            {
                inner.Skip();
            }
        }

        // In the order of the numbers: worker is the first field of the metadata, and the metadata come where they were or would be.
        var length = ProtoWriter.BytesFieldLength(worker.Length) + metadata.Length;
        var rewritten = new byte[result.Length + ProtoWriter.BytesFieldLength(length)];
        var writer = new ProtoWriter(rewritten);
        var written = false;
        var copy = new ProtoReader(result);
        for (var from = 0; copy.Next(out var field); from = copy.Position)
        {
            copy.Skip();
            if (field >= Metadata && !written)
            {
                WriteMetadata(ref writer, length, worker, metadata);
                written = true;
            }

            if (field != Metadata)
            {
                writer.Raw(result[from..copy.Position]);
            }
        }

        if (!written)
        {
            WriteMetadata(ref writer, length, worker, metadata);
        }

        return rewritten[..writer.Position];
    }

    /// <summary>
    /// The result with the bytes a client asked for in it, as many as fit into the budget. What can't be read is left out: the
    /// client fetches it like everything else.
    /// </summary>
    /// <param name="paths">Output files to inline, in UTF-8.</param>
    public static async ValueTask<ReadOnlyMemory<byte>> InlineAsync(
        ContentSpace space, BlobKind kind, ReadOnlyMemory<byte> result, bool stdout, bool stderr, IReadOnlyList<byte[]> paths, CancellationToken cancellationToken)
    {
        var wanted = Find(result.Span, kind, stdout, stderr, paths);
        if (wanted.Count == 0)
        {
            return result;
        }

        var output = new ArrayBufferWriter<byte>(result.Length + (int)Math.Min(InlineBudget, wanted.Sum(one => one.Digest.Size)) + 64);
        var budget = (long)InlineBudget;
        var copied = 0;
        foreach (var one in wanted)
        {
            if (one.Digest.Size > budget || await ReadAsync(space, one.Digest, cancellationToken) is not { } content)
            {
                continue;
            }

            budget -= content.Length;
            output.Write(result.Span[copied..one.Start]);
            copied = one.End;
            Insert(output, result.Span[one.Start..one.End], one.Field, content);
        }

        output.Write(result.Span[copied..]);
        return output.WrittenMemory;
    }

    private static void WriteMetadata(ref ProtoWriter writer, int length, ReadOnlySpan<byte> worker, ReadOnlySpan<byte> metadata)
    {
        writer.BytesHeader(Metadata, length);
        writer.BytesField(1, worker);
        writer.Raw(metadata);
    }

    private static List<Wanted> Find(ReadOnlySpan<byte> result, BlobKind kind, bool stdout, bool stderr, IReadOnlyList<byte[]> paths)
    {
        List<Wanted> wanted = [];
        var reader = new ProtoReader(result);
        for (var from = 0; reader.Next(out var field); from = reader.Position)
        {
            switch (field)
            {
                // Bytes that are inline already come just before their digest.
                case StdoutRaw:
                    stdout &= reader.Bytes().IsEmpty;
                    break;
                case StderrRaw:
                    stderr &= reader.Bytes().IsEmpty;
                    break;
                case StdoutDigest when stdout:
                case StderrDigest when stderr:
                    var digest = BlobDigest.Read(reader.Bytes(), kind);
                    if (digest.Size > 0)
                    {
                        wanted.Add(new Wanted(field, from, reader.Position, digest));
                    }

                    break;
                case OutputFiles when paths.Count > 0:
                    if (FileDigest(reader.Bytes(), kind, paths) is { Size: > 0 } file)
                    {
                        wanted.Add(new Wanted(field, from, reader.Position, file));
                    }

                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return wanted;
    }

    /// <summary>The digest of an OutputFile {1 path, 2 digest, 5 contents} that is asked for and not inline yet.</summary>
    private static BlobDigest? FileDigest(ReadOnlySpan<byte> file, BlobKind kind, IReadOnlyList<byte[]> paths)
    {
        BlobDigest? digest = null;
        var asked = false;
        var reader = new ProtoReader(file);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    var path = reader.Bytes();
                    foreach (var one in paths)
                    {
                        asked |= path.SequenceEqual(one);
                    }

                    break;
                case 2:
                    digest = BlobDigest.Read(reader.Bytes(), kind);
                    break;
                case 5:
                    asked &= reader.Bytes().IsEmpty;
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return asked ? digest : null;
    }

    // The field as it was, with the content beside it: stdout_raw before stdout_digest, contents inside the OutputFile.
    private static void Insert(ArrayBufferWriter<byte> output, ReadOnlySpan<byte> original, int field, ReadOnlySpan<byte> content)
    {
        if (field != OutputFiles)
        {
            WriteField(output, field == StdoutDigest ? StdoutRaw : StderrRaw, content);
            output.Write(original);
            return;
        }

        var reader = new ProtoReader(original);
        reader.Next(out _);
        var file = reader.Bytes();
        var header = new byte[12];
        var writer = new ProtoWriter(header);
        writer.BytesHeader(OutputFiles, file.Length + ProtoWriter.BytesFieldLength(content.Length));
        output.Write(header.AsSpan(0, writer.Position));

        // contents is field 5: after is_executable (4), before node_properties (7).
        var split = file.Length;
        var inner = new ProtoReader(file);
        for (var from = 0; inner.Next(out var number); from = inner.Position)
        {
            if (number > 5)
            {
                split = from;
                break;
            }

            inner.Skip();
        }

        output.Write(file[..split]);
        WriteField(output, 5, content);
        output.Write(file[split..]);
    }

    private static void WriteField(ArrayBufferWriter<byte> output, int field, ReadOnlySpan<byte> value)
    {
        var writer = new ProtoWriter(output.GetSpan(ProtoWriter.BytesFieldLength(value.Length)));
        writer.BytesField(field, value);
        output.Advance(writer.Position);
    }

    private static async ValueTask<byte[]?> ReadAsync(ContentSpace space, BlobDigest digest, CancellationToken cancellationToken)
    {
        if (!space.TryFind(digest.Key, out var info) || info.Length != digest.Size)
        {
            return null;
        }

        var content = new byte[digest.Size];
        return await BlobReading.ReadAsync(space, info, content, cancellationToken) ? content : null;
    }

    /// <summary>A field of the result, from its tag to its end, whose bytes are to be inlined.</summary>
    private readonly record struct Wanted(int Field, int Start, int End, BlobDigest Digest);
}
