namespace Slipway.Data;

/// <summary>What the kernel says about processes that may not be our children: <c>/proc</c>, see proc(5).</summary>
internal static class ProcessTable
{
    /// <summary>A zombie counts as dead: it does nothing more, and in a container without an init it stays for ever.</summary>
    public static bool IsAlive(int processId)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{processId}/stat");
            // "pid (name) state …": the name may hold anything, also parentheses.
            var state = stat[stat.LastIndexOf(')') + 2];
            return state is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>True when the process has <paramref name="path"/> open. For a lock file that is proof of who it is, whatever its number was before.</summary>
    public static bool HasOpen(int processId, string path)
    {
        try
        {
            return Directory.EnumerateFiles($"/proc/{processId}/fd")
                .Any(descriptor => new FileInfo(descriptor).LinkTarget == path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
