using Slipway.EndToEnd.Tests.Running;

namespace Slipway.EndToEnd.Tests.BuildCache.Clients;

/// <summary>Debian's Gradle 4.4 with one Java class to compile, and only the remote build cache.</summary>
internal sealed class Gradle : IDisposable
{
    private readonly TempFolder folder = new();
    private readonly string program = Downloads.Installed("gradle", "gradle");

    public Gradle(Uri cache, string key)
    {
        Write("build.gradle", "apply plugin: 'java'\n");
        Write("settings.gradle", $$"""
            rootProject.name = 'lab'
            buildCache {
                local { enabled = false }
                remote(HttpBuildCache) {
                    url = '{{cache}}/'
                    push = true
                    credentials { username = 'slipway'; password = '{{key}}' }
                }
            }

            """);
    }

    /// <summary>Compiles as if on a fresh machine.</summary>
    public async Task<Ran> CompileFreshAsync(string javaClass)
    {
        foreach (var made in (string[])["build", ".gradle"])
        {
            if (Directory.Exists(folder.File(made)))
            {
                Directory.Delete(folder.File(made), recursive: true);
            }
        }

        Write("src/main/java/Lab.java", javaClass);
        return await Run.ProgramAsync(
            program,
            ["--no-daemon", "--build-cache", "--console", "plain", "--gradle-user-home", folder.Folder("gradle-home"), "compileJava"],
            new Dictionary<string, string?> { ["HOME"] = folder.Folder("home") },
            folder: folder.Path);
    }

    public void Dispose() => folder.Dispose();

    private void Write(string path, string text) => File.WriteAllText(folder.File(path), text);
}
