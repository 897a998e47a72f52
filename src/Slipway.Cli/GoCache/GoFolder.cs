using System.Globalization;

namespace Slipway.Cli.GoCache;

/// <summary>The output of a Go action: the SHA-256 of its bytes, their number, when they were stored, and the file they are in.</summary>
internal sealed record GoEntry(string Output, long Size, DateTimeOffset Time, string DiskPath);

/// <summary>
/// The layer on this machine's disk: <c>{2 hex}/{action}-a</c> says which output an action has, <c>{2 hex}/{output}-d</c> is the output.
/// Several go commands may use it at once: files appear by renaming, and what was used lately is never deleted.
/// </summary>
internal sealed class GoFolder(string root, TimeProvider time)
{
    /// <summary>The go command may read a file until it has closed; no build takes as long as this.</summary>
    private static readonly TimeSpan InUse = TimeSpan.FromHours(4);

    /// <summary>Uses are noted this often and no oftener, as in Go's own cache: a note is a write.</summary>
    private static readonly TimeSpan Noted = TimeSpan.FromHours(1);

    /// <summary>Trimming ends below the limit, so that not every build has to trim.</summary>
    private const double TrimTo = 0.9;

    /// <summary>What was stored for an action here; null when nothing or not all of it is.</summary>
    public GoEntry? Find(string action)
    {
        try
        {
            var parts = File.ReadAllText(PathOf(action, 'a')).Split(' ');
            if (parts.Length != 3 || !long.TryParse(parts[1], CultureInfo.InvariantCulture, out var size) || !long.TryParse(parts[2], CultureInfo.InvariantCulture, out var milliseconds))
            {
                return null;
            }

            var output = new FileInfo(PathOf(parts[0], 'd'));
            if (!output.Exists || output.Length != size)
            {
                return null;
            }

            NoteUse(PathOf(action, 'a'));
            NoteUse(output.FullName);
            return new GoEntry(parts[0], size, DateTimeOffset.FromUnixTimeMilliseconds(milliseconds), output.FullName);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>A file to write an output to, before it gets its place.</summary>
    public string NewFile()
    {
        var folder = Path.Combine(root, "tmp");
        Directory.CreateDirectory(folder);
        return Path.Combine(folder, Guid.NewGuid().ToString("N"));
    }

    /// <summary>Gives a complete file its place, and says whose output it is.</summary>
    public GoEntry Keep(string action, string output, string file)
    {
        var size = new FileInfo(file).Length;
        var now = time.GetUtcNow();
        var place = PathOf(output, 'd');
        Directory.CreateDirectory(Path.GetDirectoryName(place)!);
        File.Move(file, place, overwrite: true);
        var note = NewFile();
        File.WriteAllText(note, string.Create(CultureInfo.InvariantCulture, $"{output} {size} {now.ToUnixTimeMilliseconds()}"));
        var actionPlace = PathOf(action, 'a');
        Directory.CreateDirectory(Path.GetDirectoryName(actionPlace)!);
        File.Move(note, actionPlace, overwrite: true);
        return new GoEntry(output, size, now, place);
    }

    /// <summary>Deletes what was used longest ago until the rest fits.</summary>
    public void Trim(long maxBytes)
    {
        if (!Directory.Exists(root))
        {
            return;
        }

        var files = new DirectoryInfo(root).EnumerateFiles("*", SearchOption.AllDirectories).OrderBy(file => file.LastWriteTimeUtc).ToList();
        var bytes = files.Sum(file => file.Length);
        if (bytes <= maxBytes)
        {
            return;
        }

        var newest = (time.GetUtcNow() - InUse).UtcDateTime;
        foreach (var file in files.TakeWhile(file => file.LastWriteTimeUtc < newest))
        {
            if (bytes <= maxBytes * TrimTo)
            {
                return;
            }

            bytes -= file.Length;
            file.Delete();
        }
    }

    private void NoteUse(string path)
    {
        var now = time.GetUtcNow().UtcDateTime;
        if (now - File.GetLastWriteTimeUtc(path) > Noted)
        {
            File.SetLastWriteTimeUtc(path, now);
        }
    }

    private string PathOf(string hash, char kind) => Path.Combine(root, hash[..2], $"{hash}-{kind}");
}
