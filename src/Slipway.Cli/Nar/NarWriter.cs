using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace Slipway.Cli.Nar;

/// <summary>
/// Writes a file tree as a NAR:
/// <code>
/// nar       = str("nix-archive-1") node
/// node      = str("(") str("type") ( regular | symlink | directory ) str(")")
/// regular   = str("regular") [ str("executable") str("") ] str("contents") str(bytes)
/// symlink   = str("symlink") str("target") str(target)
/// directory = str("directory") { str("entry") str("(") str("name") str(name) str("node") node str(")") }
/// str(s)    = u64 little endian length, bytes, zero padding to 8
/// </code>
/// </summary>
internal static class NarWriter
{
    /// <summary>Each level holds a file descriptor; a process may have 1,024 by default. Real trees stay under 50.</summary>
    private const int MaxDepth = 500;

    private static readonly byte[] Magic = Str("nix-archive-1"u8);
    private static readonly byte[] Regular = [.. Str("("u8), .. Str("type"u8), .. Str("regular"u8), .. Str("contents"u8)];
    private static readonly byte[] Executable = [.. Str("("u8), .. Str("type"u8), .. Str("regular"u8), .. Str("executable"u8), .. Str(""u8), .. Str("contents"u8)];
    private static readonly byte[] Symlink = [.. Str("("u8), .. Str("type"u8), .. Str("symlink"u8), .. Str("target"u8)];
    private static readonly byte[] Directory = [.. Str("("u8), .. Str("type"u8), .. Str("directory"u8)];
    private static readonly byte[] Entry = [.. Str("entry"u8), .. Str("("u8), .. Str("name"u8)];
    private static readonly byte[] Node = Str("node"u8);
    private static readonly byte[] Close = Str(")"u8);

    private sealed class Open(SafeFileHandle handle, List<byte[]> names) : IDisposable
    {
        private int next;

        public SafeFileHandle Handle => handle;

        public byte[]? Next() => next < names.Count ? names[next++] : null;

        public void Dispose() => handle.Dispose();
    }

    /// <param name="onProgress">Told how many bytes came since the last call.</param>
    public static async Task WriteAsync(string path, BlockSink sink, Action<int> onProgress, CancellationToken cancellationToken)
    {
        var open = new Stack<Open>();
        try
        {
            await sink.WriteAsync(Magic, cancellationToken);
            await WriteNodeAsync(null, RawFiles.Name(path), open, sink, onProgress, cancellationToken);
            while (open.TryPeek(out var folder))
            {
                if (folder.Next() is { } name)
                {
                    await sink.WriteAsync(Entry, cancellationToken);
                    await WriteStringAsync(name.AsMemory(0, name.Length - 1), sink, cancellationToken);
                    await sink.WriteAsync(Node, cancellationToken);
                    var depth = open.Count;
                    await WriteNodeAsync(folder.Handle, name, open, sink, onProgress, cancellationToken);
                    if (open.Count == depth)
                    {
                        await sink.WriteAsync(Close, cancellationToken);
                    }
                }
                else
                {
                    open.Pop().Dispose();
                    await sink.WriteAsync(Close, cancellationToken);
                    if (open.Count > 0)
                    {
                        await sink.WriteAsync(Close, cancellationToken);
                    }
                }
            }
        }
        finally
        {
            foreach (var folder in open)
            {
                folder.Dispose();
            }
        }
    }

    /// <summary>A leaf in whole; of a directory the start, and it is put on the stack.</summary>
    private static async ValueTask WriteNodeAsync(
        SafeFileHandle? folder, byte[] name, Stack<Open> open, BlockSink sink, Action<int> onProgress, CancellationToken cancellationToken)
    {
        var stat = RawFiles.Stat(folder, name);
        switch (stat.Type)
        {
            case NodeType.Regular:
                await sink.WriteAsync(stat.Executable ? Executable : Regular, cancellationToken);
                await WriteContentsAsync(folder, name, stat.Size, sink, onProgress, cancellationToken);
                break;
            case NodeType.Symlink:
                await sink.WriteAsync(Symlink, cancellationToken);
                await WriteStringAsync(RawFiles.ReadLink(folder, name), sink, cancellationToken);
                break;
            case NodeType.Directory:
                if (open.Count == MaxDepth)
                {
                    throw new IOException($"the tree is deeper than {MaxDepth} folders");
                }

                await sink.WriteAsync(Directory, cancellationToken);
                var handle = RawFiles.Open(folder, name);
                open.Push(new Open(handle, RawFiles.List(handle)));
                return;
            default:
                throw new IOException($"{System.Text.Encoding.UTF8.GetString(name).TrimEnd('\0')} is neither file, folder nor symlink; a store path can't hold it");
        }

        await sink.WriteAsync(Close, cancellationToken);
    }

    private static async ValueTask WriteContentsAsync(
        SafeFileHandle? folder, byte[] name, long size, BlockSink sink, Action<int> onProgress, CancellationToken cancellationToken)
    {
        await WriteLengthAsync(size, sink, cancellationToken);
        if (size > 0)
        {
            using var file = RawFiles.Open(folder, name);
            for (long offset = 0; offset < size;)
            {
                await sink.MakeRoomAsync(cancellationToken);
                var read = ReadInto(file, sink, size - offset, offset);
                if (read == 0)
                {
                    throw new IOException("a file got shorter while it was read; store paths must not change");
                }

                sink.Advance(read);
                offset += read;
                onProgress(read);
            }
        }

        await PadAsync(size, sink, cancellationToken);
    }

    private static int ReadInto(SafeFileHandle file, BlockSink sink, long most, long offset)
    {
        var room = sink.Room;
        return RandomAccess.Read(file, most < room.Length ? room[..(int)most] : room, offset);
    }

    private static async ValueTask WriteStringAsync(ReadOnlyMemory<byte> bytes, BlockSink sink, CancellationToken cancellationToken)
    {
        await WriteLengthAsync(bytes.Length, sink, cancellationToken);
        await sink.WriteAsync(bytes, cancellationToken);
        await PadAsync(bytes.Length, sink, cancellationToken);
    }

    private static ValueTask WriteLengthAsync(long length, BlockSink sink, CancellationToken cancellationToken)
    {
        if (sink.Room.Length >= sizeof(long))
        {
            BinaryPrimitives.WriteInt64LittleEndian(sink.Room, length);
            sink.Advance(sizeof(long));
            return ValueTask.CompletedTask;
        }

        var bytes = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, length);
        return sink.WriteAsync(bytes, cancellationToken);
    }

    private static readonly byte[] Zeros = new byte[8];

    private static ValueTask PadAsync(long length, BlockSink sink, CancellationToken cancellationToken) =>
        sink.WriteAsync(Zeros.AsMemory(0, (int)(-length & 7)), cancellationToken);

    private static byte[] Str(ReadOnlySpan<byte> text)
    {
        var bytes = new byte[8 + ((text.Length + 7) & ~7)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, text.Length);
        text.CopyTo(bytes.AsSpan(8));
        return bytes;
    }
}
