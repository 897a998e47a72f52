namespace Slipway.Testing;

/// <summary>A folder of one test's own, gone with it.</summary>
public sealed class TempFolder : IDisposable
{
    public TempFolder()
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), "slipway-test-" + Guid.NewGuid().ToString("N")[..12]);
        // Traversable by others: engines started by root run under another account.
        Directory.CreateDirectory(Path, (UnixFileMode)Convert.ToInt32("755", 8));
    }

    public string Path { get; }

    /// <summary>A path inside; the folders above it are made.</summary>
    public string File(string relativePath)
    {
        var path = System.IO.Path.Combine(Path, relativePath);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        return path;
    }

    /// <summary>A folder inside, made.</summary>
    public string Folder(string relativePath) => Directory.CreateDirectory(System.IO.Path.Combine(Path, relativePath)).FullName;

    public override string ToString() => Path;

    public void Dispose()
    {
        // A server that is still dying may write between listing and deleting; the second round finds what it left.
        for (var round = 0; round < 3 && Directory.Exists(Path); round++)
        {
            try
            {
                Directory.Delete(Path, recursive: true);
            }
            catch (IOException) when (round < 2)
            {
            }
        }
    }
}
