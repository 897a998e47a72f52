using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Slipway.Data;

/// <summary>What the kernel says about processes that may not be our children (<c>/proc</c>, see proc(5)), and signals to them.</summary>
internal static partial class ProcessTable
{
    private const int NoSuchProcess = 3;

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

    /// <summary>True when the process has the file open. For a lock file that is proof of who it is, whatever its number was before.</summary>
    /// <param name="realPath">Without symbolic links, as the kernel shows it. (Opening the file to ask would, in .NET, try to lock it.)</param>
    public static bool HasOpen(int processId, string realPath)
    {
        try
        {
            return Directory.EnumerateFileSystemEntries($"/proc/{processId}/fd").Any(descriptor => new FileInfo(descriptor).LinkTarget == realPath);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>False when the process is gone.</summary>
    public static bool Signal(int processId, Signal signal)
    {
        if (Kill(processId, (int)signal) == 0)
        {
            return true;
        }

        var error = Marshal.GetLastPInvokeError();
        return error == NoSuchProcess ? false : throw new IOException($"cannot send {signal} to process {processId}: {new Win32Exception(error).Message}");
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int processId, int signal);
}

/// <summary>Numbers of signal(7), the same on every Linux architecture .NET runs on.</summary>
internal enum Signal
{
    Interrupt = 2,
    Quit = 3,
    Kill = 9,
    Terminate = 15,
    Continue = 18,
    Stop = 19,
}
