using System.Globalization;
using System.Runtime.InteropServices;

namespace Slipway.Cli.Terminals;

/// <summary>How wide the terminal is. <see cref="Console.WindowWidth"/> would load the terminal database and install handlers for it.</summary>
internal static partial class WindowSize
{
    // asm-generic/ioctls.h; the same on x86-64 and arm64.
    private const nuint TioCGWinSz = 0x5413;

    private const int Fallback = 80;

    [StructLayout(LayoutKind.Sequential)]
    private struct Size
    {
        public ushort Rows;
        public ushort Columns;
        public ushort PixelsWide;
        public ushort PixelsHigh;
    }

    public static int Columns()
    {
        for (var descriptor = 1; descriptor <= 2; descriptor++)
        {
            if (IoCtl(descriptor, TioCGWinSz, out var size) == 0 && size.Columns > 0)
            {
                return size.Columns;
            }
        }

        return int.TryParse(Environment.GetEnvironmentVariable("COLUMNS"), NumberStyles.None, CultureInfo.InvariantCulture, out var columns) && columns > 0
            ? columns
            : Fallback;
    }

    /// <summary>Lines of the terminal that stdout is; 24 when it is none.</summary>
    public static int Rows() => IoCtl(1, TioCGWinSz, out var size) == 0 && size.Rows > 0 ? size.Rows : 24;

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int IoCtl(int descriptor, nuint request, out Size size);
}
