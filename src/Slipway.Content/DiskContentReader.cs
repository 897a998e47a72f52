using Microsoft.Win32.SafeHandles;

namespace Slipway.Content;

/// <summary>An open file. Reads at offsets share no position, so any number may run at once.</summary>
internal sealed class DiskContentReader : IContentReader
{
    private readonly SafeFileHandle file;

    public DiskContentReader(string path)
    {
        // Sharing everything spares the advisory lock .NET would take and drop on every open.
        file = System.IO.File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Length = RandomAccess.GetLength(file);
        File = new FileRange(path, 0);
    }

    public long Length { get; }

    public FileRange? File { get; }

    public async ValueTask<int> ReadAsync(Memory<byte> buffer, long offset, CancellationToken cancellationToken)
    {
        try
        {
            return await RandomAccess.ReadAsync(file, buffer, offset, cancellationToken);
        }
        catch (IOException exception)
        {
            throw DiskFailure.Translate(exception, "The blob can't be read");
        }
    }

    public ValueTask DisposeAsync()
    {
        file.Dispose();
        return ValueTask.CompletedTask;
    }
}
