using System.CommandLine;
using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store show NAME</c></summary>
internal sealed class StoreShow : Verb
{
    private readonly Argument<string> name;

    public StoreShow()
        : base("show", "Show a store (superusers only)")
    {
        name = Positional("NAME", "Name of the store");
    }

    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        var store = await run.Client.GetStoreAsync(run.Get(name), cancellationToken);
        run.Write(store.Value, json => json.Store, one => one.Name, one => Print(one, run));
        return ExitCodes.Ok;
    }

    public static void Print(Store store, Invocation run) => new Fields()
        .Add("name", store.Name)
        .Add("kind", store.Kind)
        .Add("path", store.Path)
        .Add("caches", Figures.Count(store.Caches), store.Caches.ToString(CultureInfo.InvariantCulture))
        .Add("free", store.FreeBytes is { } free ? Figures.Bytes(free) : null, store.FreeBytes?.ToString(CultureInfo.InvariantCulture))
        .Add("writable", store.Writable ? "yes" : "no")
        .Add("id", store.Id)
        .When("created", store.CreatedAt, run.Now)
        .Write(run.Terminal);
}
