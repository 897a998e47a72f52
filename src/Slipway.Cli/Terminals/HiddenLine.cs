using System.Text;

namespace Slipway.Cli.Terminals;

/// <summary>Reads a password from the terminal without showing it.</summary>
internal static class HiddenLine
{
    public static string? Read()
    {
        var line = new StringBuilder();
        while (true)
        {
            var key = Console.ReadKey(intercept: true);
            switch (key)
            {
                case { Key: ConsoleKey.Enter }:
                    Console.Error.WriteLine();
                    return line.ToString();
                case { Key: ConsoleKey.Backspace }:
                    line.Length = Math.Max(0, line.Length - 1);
                    break;
                case { Key: ConsoleKey.U, Modifiers: ConsoleModifiers.Control }:
                    line.Clear();
                    break;
                case { Key: ConsoleKey.D, Modifiers: ConsoleModifiers.Control } when line.Length == 0:
                    Console.Error.WriteLine();
                    return null;
                case { KeyChar: not '\0' } when !char.IsControl(key.KeyChar):
                    line.Append(key.KeyChar);
                    break;
            }
        }
    }
}
