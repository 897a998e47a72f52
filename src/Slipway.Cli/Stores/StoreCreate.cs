using System.CommandLine;
using Slipway.Api;
using Slipway.Cli.Shell;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store create NAME</c></summary>
internal sealed class StoreCreate : Verb
{
    private readonly Argument<string> name;
    private readonly Option<string?> path;

    public StoreCreate()
        : base("create", "Create a place for blobs on the server (superusers only)")
    {
        name = Positional("NAME", "2 to 39 characters of a-z, 0-9 and -, starting with a letter");
        path = Text("--path", "FOLDER", "Absolute folder on the server; under its data folder unless given");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var store = await run.Client.CreateStoreAsync(new CreateStoreRequest(run.Get(name), run.Get(path)), cancellationToken);
        run.Write(store, json => json.Store, one => one.Name, one => StoreShow.Print(one, run));
        run.Done($"created store {store.Name}");
        return ExitCodes.Ok;
    }
}
