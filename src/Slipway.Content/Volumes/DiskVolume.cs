using Microsoft.Win32.SafeHandles;
using Slipway.Native;

namespace Slipway.Content;

/// <summary>A folder of a local disk.</summary>
internal sealed class DiskVolume(string root) : IVolume
{
    public long FreeBytes => new DriveInfo(root).AvailableFreeSpace;

    public IVolumeFile Create(string name) => new DiskFile(PathOf(name), FileMode.CreateNew, FileAccess.ReadWrite);

    public IVolumeFile Open(string name, bool forWriting) =>
        new DiskFile(PathOf(name), FileMode.Open, forWriting ? FileAccess.ReadWrite : FileAccess.Read);

    public bool Exists(string name) => File.Exists(PathOf(name));

    public IReadOnlyList<VolumeEntry> List(string folder) =>
        Directory.Exists(PathOf(folder))
            ? [.. new DirectoryInfo(PathOf(folder)).EnumerateFiles().Select(file => new VolumeEntry(file.Name, file.Length, file.LastWriteTimeUtc))]
            : [];

    // What is in here is for this server only.
    public void CreateFolder(string folder) =>
        Directory.CreateDirectory(PathOf(folder), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);

    public void Rename(string from, string to) => File.Move(PathOf(from), PathOf(to), overwrite: true);

    public void Delete(string name) => File.Delete(PathOf(name));

    public void SyncFolder(string folder) => Posix.SyncDirectory(PathOf(folder));

    private string PathOf(string name) => name.Length == 0 ? root : System.IO.Path.Join(root, name);

    private sealed class DiskFile : IVolumeFile
    {
        // Two buffers in one preadv without an allocation per read.
        [ThreadStatic]
        private static Memory<byte>[]? pair;

        private readonly SafeFileHandle file;

        public DiskFile(string path, FileMode mode, FileAccess access)
        {
            Path = path;
            // Sharing everything spares the advisory lock .NET would take and drop on every open.
            file = File.OpenHandle(path, mode, access, FileShare.ReadWrite | FileShare.Delete);
        }

        public string Path { get; }

        public long Length => RandomAccess.GetLength(file);

        public int Read(Span<byte> buffer, long offset)
        {
            var total = 0;
            while (total < buffer.Length)
            {
                var read = RandomAccess.Read(file, buffer[total..], offset + total);
                if (read == 0)
                {
                    break;
                }

                total += read;
            }

            return total;
        }

        public int Read(Memory<byte> head, Memory<byte> rest, long offset)
        {
            var buffers = pair ??= new Memory<byte>[2];
            buffers[0] = head;
            buffers[1] = rest;
            try
            {
                var read = (int)RandomAccess.Read(file, buffers, offset);
                // A signal or the end of a page can cut a read short; the rest is asked for by itself.
                if (read < head.Length)
                {
                    read += Read(head.Span[read..], offset + read);
                }

                return read < head.Length || read == head.Length + rest.Length
                    ? read
                    : read + Read(rest.Span[(read - head.Length)..], offset + read);
            }
            finally
            {
                buffers[0] = default;
                buffers[1] = default;
            }
        }

        public ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken) =>
            RandomAccess.ReadAsync(file, buffer, offset, cancellationToken);

        public void Write(ReadOnlySpan<byte> bytes, long offset) => RandomAccess.Write(file, bytes, offset);

        public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, long offset, CancellationToken cancellationToken) =>
            RandomAccess.WriteAsync(file, bytes, offset, cancellationToken);

        public void Truncate(long length) => RandomAccess.SetLength(file, length);

        public void Sync() => RandomAccess.FlushToDisk(file);

        public void Dispose() => file.Dispose();
    }
}
