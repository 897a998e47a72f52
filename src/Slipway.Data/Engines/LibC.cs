using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Slipway.Data;

/// <summary>The three calls .NET has no door to.</summary>
internal static partial class LibC
{
    public const int SigInt = 2;
    public const int SigQuit = 3;
    public const int SigKill = 9;
    public const int SigTerm = 15;

    private const int NoSuchProcess = 3;
    private const int AtCurrentFolder = -100;
    private const int DoNotFollowLinks = 0x100;
    private const uint BasicStats = 0x7ff;

    public static void ChangeOwner(string path, uint user, uint group)
    {
        if (ChangeOwnerNoFollow(path, user, group) != 0)
        {
            throw new IOException($"cannot give '{path}' to user {user}: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}");
        }
    }

    /// <summary>False when the process is gone.</summary>
    public static bool Signal(int process, int signal)
    {
        if (Kill(process, signal) == 0)
        {
            return true;
        }

        var error = Marshal.GetLastPInvokeError();
        return error == NoSuchProcess ? false : throw new IOException($"cannot signal process {process}: {new Win32Exception(error).Message}");
    }

    /// <summary>Owner and permission bits of the entry itself (a link is not followed), or null when there is none.</summary>
    public static unsafe (uint UserId, uint GroupId, UnixFileMode Mode, bool IsFolder)? Stat(string path)
    {
        // struct statx (linux/stat.h) has one layout on every architecture: uid at 20, gid at 24, mode at 28, 256 bytes in all.
        var buffer = stackalloc byte[256];
        if (StatX(AtCurrentFolder, path, DoNotFollowLinks, BasicStats, buffer) != 0)
        {
            return null;
        }

        var mode = *(ushort*)(buffer + 28);
        return (*(uint*)(buffer + 20), *(uint*)(buffer + 24), (UnixFileMode)(mode & 0xfff), (mode & 0xf000) == 0x4000);
    }

    [LibraryImport("libc", EntryPoint = "lchown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChangeOwnerNoFollow(string path, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatX(int folder, string path, int flags, uint mask, byte* buffer);
}
