using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Slipway.Native;

/// <summary>
/// The few system calls of Linux that .NET doesn't offer. Failures are <see cref="IOException"/>s whose HResult is the errno,
/// as .NET's own are.
/// </summary>
public static unsafe partial class Posix
{
    private const string Library = "libc";

    // asm-generic values: the same on x86-64 and arm64.
    private const int ReadOnly = 0;
    private const int ReadWrite = 2;
    private const int Create = 0x40;
    private const int CloseOnExec = 0x80000;
    private const int LockExclusive = 2;
    private const int LockNonBlocking = 4;
    private const int Interrupted = 4;
    private const int Again = 11;

    /// <summary>The effective user of this process; 0 is root.</summary>
    public static uint EffectiveUserId => geteuid();

    /// <summary>The effective group of this process.</summary>
    public static uint EffectiveGroupId => getegid();

    /// <summary>Makes durable which names a folder holds: a created or renamed file survives a power cut only after this.</summary>
    public static void SyncDirectory(string path)
    {
        using var folder = Open(path, ReadOnly | CloseOnExec, 0);
        while (fsync(folder) != 0)
        {
            ThrowUnlessInterrupted($"Can't sync the folder '{path}'");
        }
    }

    /// <summary>
    /// Takes the exclusive lock (flock) of a file, which is made if it isn't there. Null when another process, or this one, has it.
    /// The kernel releases it when the process dies, however it dies.
    /// </summary>
    public static FileLock? TryLock(string path)
    {
        var file = Open(path, ReadWrite | Create | CloseOnExec, 0x180 /* 0600 */);
        while (flock(file, LockExclusive | LockNonBlocking) != 0)
        {
            if (Marshal.GetLastPInvokeError() == Again)
            {
                file.Dispose();
                return null;
            }

            try
            {
                ThrowUnlessInterrupted($"Can't lock '{path}'");
            }
            catch
            {
                file.Dispose();
                throw;
            }
        }

        return new FileLock(path, file);
    }

    /// <summary>The ids of a user of this machine by name (as getpwnam finds it), or null.</summary>
    public static (uint Uid, uint Gid)? FindUser(string name)
    {
        // The largest entry of any sane passwd database; sysconf(_SC_GETPW_R_SIZE_MAX) says 1,024 on glibc.
        var buffer = new byte[16 * 1024];
        Passwd entry;
        Passwd* found;
        fixed (byte* room = buffer)
        {
            var error = getpwnam_r(name, &entry, room, (nuint)buffer.Length, &found);
            return found is null || error != 0 ? null : (found->Uid, found->Gid);
        }
    }

    /// <summary>Who owns a file or folder (of a symbolic link: of the link itself).</summary>
    public static (uint Uid, uint Gid) OwnerOf(string path)
    {
        const int currentFolder = -100; // AT_FDCWD
        const int noFollow = 0x100; // AT_SYMLINK_NOFOLLOW
        const uint owners = 0x18; // STATX_UID | STATX_GID
        Statx status;
        return statx(currentFolder, path, noFollow, owners, &status) == 0
            ? (status.Uid, status.Gid)
            : throw Failure($"Can't read the owner of '{path}'");
    }

    /// <summary>
    /// Gives a file or folder to another user. Of a symbolic link it changes the link itself: to follow links as root, in a folder
    /// that somebody else can write to, would give away any file of the machine.
    /// </summary>
    public static void ChangeOwner(string path, uint uid, uint gid)
    {
        if (lchown(path, uid, gid) != 0)
        {
            throw Failure($"Can't change the owner of '{path}' to {uid}:{gid}");
        }
    }

    /// <summary>
    /// Sends bytes of a file to a socket without copying them through this process. Returns how many were sent and moves
    /// <paramref name="offset"/> by as much; 0 at the end of the file; -1 when a non-blocking socket takes no more at the moment.
    /// </summary>
    public static long SendFile(SafeHandle socket, SafeFileHandle file, ref long offset, long count)
    {
        // More than this the kernel doesn't send in one call.
        const long mostPerCall = 0x7ffff000;
        fixed (long* position = &offset)
        {
            while (true)
            {
                var sent = sendfile(socket, file, position, (nuint)Math.Clamp(count, 0, mostPerCall));
                if (sent >= 0)
                {
                    return sent;
                }

                if (Marshal.GetLastPInvokeError() == Again)
                {
                    return -1;
                }

                ThrowUnlessInterrupted("Can't send the file");
            }
        }
    }

    private static SafeFileHandle Open(string path, int flags, int mode)
    {
        while (true)
        {
            var file = open(path, flags, mode);
            if (file >= 0)
            {
                return new SafeFileHandle(file, ownsHandle: true);
            }

            ThrowUnlessInterrupted($"Can't open '{path}'");
        }
    }

    private static void ThrowUnlessInterrupted(string what)
    {
        if (Marshal.GetLastPInvokeError() != Interrupted)
        {
            throw Failure(what);
        }
    }

    private static IOException Failure(string what)
    {
        var error = Marshal.GetLastPInvokeError();
        return new IOException($"{what}: {Marshal.GetPInvokeErrorMessage(error)}.", error);
    }

    [LibraryImport(Library, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags, int mode);

    [LibraryImport(Library, SetLastError = true)]
    private static partial int fsync(SafeFileHandle file);

    [LibraryImport(Library, SetLastError = true)]
    private static partial int flock(SafeFileHandle file, int operation);

    [LibraryImport(Library, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int lchown(string path, uint owner, uint group);

    [LibraryImport(Library, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, Statx* status);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int getpwnam_r(string name, Passwd* entry, byte* buffer, nuint size, Passwd** result);

    [LibraryImport(Library)]
    private static partial uint geteuid();

    [LibraryImport(Library)]
    private static partial uint getegid();

    [LibraryImport(Library, SetLastError = true)]
    private static partial nint sendfile(SafeHandle socket, SafeFileHandle file, long* offset, nuint count);

    /// <summary>struct passwd of pwd.h on 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Passwd
    {
        public byte* Name;
        public byte* Password;
        public uint Uid;
        public uint Gid;
        public byte* Gecos;
        public byte* Home;
        public byte* Shell;
    }

    /// <summary>The head of struct statx, which is the same on every architecture; 256 bytes in all.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Statx
    {
        [FieldOffset(20)]
        public uint Uid;

        [FieldOffset(24)]
        public uint Gid;
    }
}
