using System.Runtime.CompilerServices;

namespace Slipway.Testing;

/// <summary>The repository this test was built from.</summary>
public static class Repo
{
    public static string Root { get; } = Find();

    public static string File(string relativePath) => Path.Combine(Root, relativePath);

    private static string Find([CallerFilePath] string thisFile = "")
    {
        // From the program first: with a deterministic build the compiled-in path may be a mapped one.
        foreach (var start in new[] { AppContext.BaseDirectory, Path.GetDirectoryName(thisFile)! })
        {
            for (var folder = start; folder is not null; folder = Path.GetDirectoryName(folder))
            {
                if (System.IO.File.Exists(Path.Combine(folder, "Slipway.slnx")))
                {
                    return folder;
                }
            }
        }

        throw new InvalidOperationException($"no Slipway.slnx above {AppContext.BaseDirectory}; run the tests from a checkout");
    }
}
