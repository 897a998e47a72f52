using Microsoft.Win32.SafeHandles;

namespace Slipway.Native;

/// <summary>A held lock on a file; <see cref="Dispose"/> releases it. The file stays: removing it would let two processes lock two files of one name.</summary>
public sealed class FileLock : IDisposable
{
    private readonly SafeFileHandle file;

    internal FileLock(string path, SafeFileHandle file)
    {
        Path = path;
        this.file = file;
    }

    public string Path { get; }

    public void Dispose() => file.Dispose();
}
