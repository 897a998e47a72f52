using System.Globalization;
using Slipway.Server.Configuration;
using Slipway.Server.Hosting;

namespace Slipway.Server.Commands;

/// <summary>What <c>slipway up</c> prints once it serves: where, with which token, and what to type next.</summary>
internal static class Banner
{
    public static void Print(Terminal terminal, SlipwayServer server, ServerConfiguration configuration)
    {
        var url = (configuration.Http.PublicUrl ?? server.Url).ToString().TrimEnd('/');
        var folder = server.DataFolder;
        // The CLI's own default needs no words; any other address has to be said.
        var prefix = url == "http://127.0.0.1:7474" ? "" : $"SLIPWAY_URL={url} ";
        terminal.Line();
        terminal.Line($"  {terminal.Bold("Slipway")} serves {terminal.Cyan(url)}  {terminal.Dim(string.Create(CultureInfo.InvariantCulture, $"ready in {server.StartedWithin.TotalSeconds:0.0} s, Ctrl+C stops it"))}");
        terminal.Line();
        terminal.Line($"  gRPC         {(server.GrpcUrl.Scheme == "https" ? "grpcs" : "grpc")}://{server.GrpcUrl.Authority}");
        terminal.Line($"  data         {folder.Path}{(folder.Note is null ? "" : terminal.Dim($"  ({folder.Note})"))}");
        terminal.Line($"  admin token  {folder.AdminToken}");
        terminal.Line();
        terminal.Line($"  {terminal.Dim("next")}");
        terminal.Line($"    {terminal.Green($"{prefix}./slipway login {(folder.IsUsual ? "--local" : $"--token-stdin < {Quoted(folder.AdminToken)}")}")}");
        terminal.Line($"    {terminal.Green($"{prefix}./slipway org create acme")}");
        terminal.Line($"    {terminal.Green($"{prefix}./slipway cache create acme/main")}");
        terminal.Line();
    }

    private static string Quoted(string path) =>
        path.All(character => char.IsAsciiLetterOrDigit(character) || character is '/' or '-' or '_' or '.') ? path : $"'{path.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}
