using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Slipway.Cli.Nar;

internal enum NodeType
{
    Regular,
    Directory,
    Symlink,
    Other,
}

/// <param name="Executable">The owner may execute it: the only permission a NAR keeps.</param>
internal readonly record struct NodeStat(NodeType Type, bool Executable, long Size);

/// <summary>
/// Directories and symlinks as the kernel sees them: names are bytes. .NET decodes them as UTF-8 and loses those that are not, and a NAR
/// with a changed name has another hash. Layouts are those of the kernel (statx(2), getdents64(2)), the same on x86-64 and arm64.
/// </summary>
internal static unsafe partial class RawFiles
{
    private const int CurrentFolder = -100; // AT_FDCWD
    private const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
    private const int CloseOnExec = 0x80000; // O_CLOEXEC
    private const uint WantedStats = 0x203; // STATX_TYPE | STATX_MODE | STATX_SIZE
    private const int LongestLink = 64 * 1024; // far over PATH_MAX (4,096), which Linux does not exceed here

    public static NodeStat Stat(SafeFileHandle? folder, byte[] name)
    {
        var buffer = stackalloc byte[256];
        fixed (byte* path = name)
        {
            Check(StatX(Descriptor(folder), path, NoFollow, WantedStats, buffer), name);
        }

        var mode = *(ushort*)(buffer + 28);
        var type = (mode & 0xF000) switch
        {
            0x8000 => NodeType.Regular,
            0x4000 => NodeType.Directory,
            0xA000 => NodeType.Symlink,
            _ => NodeType.Other,
        };
        return new NodeStat(type, (mode & 0x40) != 0, *(long*)(buffer + 40));
    }

    public static SafeFileHandle Open(SafeFileHandle? folder, byte[] name)
    {
        fixed (byte* path = name)
        {
            return new SafeFileHandle(Check(OpenAt(Descriptor(folder), path, CloseOnExec, 0), name), ownsHandle: true);
        }
    }

    /// <summary>The target of a symlink.</summary>
    public static byte[] ReadLink(SafeFileHandle? folder, byte[] name)
    {
        var buffer = new byte[4096];
        while (true)
        {
            int length;
            fixed (byte* path = name)
            fixed (byte* target = buffer)
            {
                length = Check((int)ReadLinkAt(Descriptor(folder), path, target, (nuint)buffer.Length), name);
            }

            if (length < buffer.Length)
            {
                return buffer[..length];
            }

            if (buffer.Length >= LongestLink)
            {
                throw new IOException($"{Text(name)}: the symlink's target is longer than {LongestLink} bytes");
            }

            buffer = new byte[buffer.Length * 2];
        }
    }

    /// <summary>The names in a folder, each ending in NUL, in ascending order of their bytes: the order of a NAR.</summary>
    public static List<byte[]> List(SafeFileHandle folder)
    {
        var names = new List<byte[]>();
        var buffer = new byte[32 * 1024];
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var length = Check((int)GetDents64(Descriptor(folder), start, (nuint)buffer.Length), "."u8);
                if (length == 0)
                {
                    break;
                }

                // d_ino 8, d_off 8, d_reclen 2, d_type 1, d_name
                for (var at = 0; at < length; at += *(ushort*)(start + at + 16))
                {
                    var name = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(start + at + 19);
                    if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8))
                    {
                        names.Add(buffer.AsSpan(at + 19, name.Length + 1).ToArray());
                    }
                }
            }
        }

        names.Sort(static (a, b) => a.AsSpan(0, a.Length - 1).SequenceCompareTo(b.AsSpan(0, b.Length - 1)));
        return names;
    }

    public static byte[] Name(string path)
    {
        var bytes = new byte[System.Text.Encoding.UTF8.GetByteCount(path) + 1];
        System.Text.Encoding.UTF8.GetBytes(path, bytes);
        return bytes;
    }

    private static int Descriptor(SafeFileHandle? folder) => folder is null ? CurrentFolder : (int)folder.DangerousGetHandle();

    private static int Check(int result, ReadOnlySpan<byte> name) =>
        result >= 0 ? result : throw new IOException($"{Text(name)}: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");

    private static string Text(ReadOnlySpan<byte> name) => System.Text.Encoding.UTF8.GetString(name.TrimEnd((byte)0));

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true)]
    private static partial int OpenAt(int folder, byte* path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true)]
    private static partial int StatX(int folder, byte* path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", EntryPoint = "readlinkat", SetLastError = true)]
    private static partial nint ReadLinkAt(int folder, byte* path, byte* buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "getdents64", SetLastError = true)]
    private static partial nint GetDents64(int folder, byte* buffer, nuint length);
}
