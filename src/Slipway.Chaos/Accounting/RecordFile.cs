using System.IO.MemoryMappedFiles;
using System.Runtime.CompilerServices;

namespace Slipway.Chaos.Accounting;

/// <summary>
/// A file of records of one size that several threads append to. It is a shared mapping: a stored record belongs to the kernel
/// at once, so the SIGKILL of its writer loses none, and no system call stands between a job's end and its record.
/// </summary>
/// <remarks>
/// Written by <c>write()</c> every few milliseconds instead, records of jobs that were executed and acknowledged just before a kill
/// would be missing, and the oracle would call those jobs lost. Readers may look on while it is written.
/// </remarks>
internal sealed unsafe class RecordFile<T> : IDisposable
    where T : unmanaged
{
    private const int HeaderBytes = 64;

    private readonly MemoryMappedFile file;
    private readonly MemoryMappedViewAccessor view;
    private readonly byte* start;
    private readonly int capacity;

    private RecordFile(string path, MemoryMappedFile file)
    {
        Path = path;
        this.file = file;
        view = file.CreateViewAccessor();
        byte* pointer = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        start = pointer;
        capacity = (int)((view.Capacity - HeaderBytes) / sizeof(T));
    }

    public string Path { get; }

    public int Count => Math.Min(capacity, Volatile.Read(ref CountField));

    /// <summary>Set by the writer when it is at work.</summary>
    public bool IsReady
    {
        get => Volatile.Read(ref Unsafe.AsRef<int>(start + 4)) == 1;
        set => Volatile.Write(ref Unsafe.AsRef<int>(start + 4), value ? 1 : 0);
    }

    private ref int CountField => ref Unsafe.AsRef<int>(start);

    /// <param name="capacity">Records at most; the file is sparse, so what is not used costs nothing.</param>
    public static RecordFile<T> Create(string path, int capacity)
    {
        using (var made = new FileStream(path, FileMode.CreateNew))
        {
            made.SetLength(HeaderBytes + ((long)capacity * sizeof(T)));
        }

        return Open(path);
    }

    public static RecordFile<T> Open(string path) => new(path, MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.ReadWrite));

    /// <summary>The place of the next record, all zero.</summary>
    /// <exception cref="InvalidOperationException">The file is full: what happens from now on would not be accounted for.</exception>
    public ref T Append()
    {
        int index = Interlocked.Increment(ref CountField) - 1;
        if (index >= capacity)
        {
            throw new InvalidOperationException($"{Path} is full with {capacity} records.");
        }

        return ref Unsafe.AsRef<T>(start + HeaderBytes + ((long)index * sizeof(T)));
    }

    /// <summary>What is there so far; a record whose writer was killed in between may still be all zero.</summary>
    public ReadOnlySpan<T> Records => new(start + HeaderBytes, Count);

    public void Dispose()
    {
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        file.Dispose();
    }
}
