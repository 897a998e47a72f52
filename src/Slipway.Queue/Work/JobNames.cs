using System.Reflection;

namespace Slipway.Queue.Work;

/// <summary>The job type of an argument type, looked up once.</summary>
internal static class JobNames<T>
{
    public static readonly string Value = JobNames.Checked(typeof(T).GetCustomAttribute<JobTypeAttribute>()?.Name ?? typeof(T).Name);
}

internal static class JobNames
{
    /// <summary>The same limit as the entry format has.</summary>
    private const int MaxLength = 100;

    public static string Checked(string name) =>
        name.Length is > 0 and <= MaxLength && name.All(c => c is > ' ' and <= '~' and not '{' and not '}')
            ? name
            : throw new ArgumentException(
                $"\"{name}\" is no job type: 1–{MaxLength} printable ASCII characters without blanks and braces. Put [JobType(\"…\")] on the class.", nameof(name));
}
