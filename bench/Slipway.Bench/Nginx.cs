using System.Diagnostics;

namespace Slipway.Bench;

/// <summary>nginx over a folder: the limit for reads, and by WebDAV the floor for writes (it stores what comes and checks nothing).</summary>
internal sealed class Nginx : IAsyncDisposable
{
    private readonly Process process;

    private Nginx(Process process, Uri url, string files)
    {
        this.process = process;
        Url = url;
        Files = files;
    }

    public Uri Url { get; }

    /// <summary>What it serves.</summary>
    public string Files { get; }

    /// <summary>The master; the worker is below it.</summary>
    public int Pid => process.Id;

    public static async Task<Nginx> StartAsync(string folder)
    {
        var url = new Uri($"http://127.0.0.1:{Shell.FreePort()}");
        var files = Directory.CreateDirectory(Path.Combine(folder, "nginx/files")).FullName;
        var temporary = Directory.CreateDirectory(Path.Combine(folder, "nginx/tmp")).FullName;
        var user = Environment.UserName == "root" ? "user root;" : "";
        var conf = Path.Combine(folder, "nginx/nginx.conf");
        File.WriteAllText(conf, $$"""
            {{user}}
            worker_processes 1;
            daemon off;
            pid {{folder}}/nginx/pid;
            error_log stderr;
            events { worker_connections 1024; }
            http {
                access_log off;
                sendfile on;
                tcp_nopush on;
                keepalive_requests 1000000000;
                default_type application/octet-stream;
                types { text/x-nix-narinfo narinfo; application/x-nix-nar nar zst; }
                client_max_body_size 0;
                client_body_temp_path {{temporary}}/body;
                proxy_temp_path {{temporary}}/proxy;
                fastcgi_temp_path {{temporary}}/fastcgi;
                uwsgi_temp_path {{temporary}}/uwsgi;
                scgi_temp_path {{temporary}}/scgi;
                server {
                    listen {{url.Authority}};
                    root {{files}};
                    dav_methods PUT;
                    create_full_put_path on;
                }
            }
            """);
        File.WriteAllText(Path.Combine(files, "up"), "");
        var log = Path.Combine(folder, "nginx.log");
        var process = Shell.Start(Shell.Find("nginx")!, ["-c", conf, "-p", folder, "-e", "stderr"], log);
        await Shell.UntilAnswersAsync(new Uri(url, "/up"), process, log);
        return new Nginx(process, url, files);
    }

    public async ValueTask DisposeAsync() => await Shell.StopAsync(process);
}
