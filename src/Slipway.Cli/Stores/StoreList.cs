using System.Globalization;
using Slipway.Api;
using Slipway.Cli.Shell;
using Slipway.Cli.Terminals;

namespace Slipway.Cli.Stores;

/// <summary><c>slipway store list</c></summary>
internal sealed class StoreList() : Verb("list", "List the server's stores (superusers only)")
{
    public override async Task<int> RunAsync(Invocation run, CancellationToken cancellationToken)
    {
        await run.WriteListAsync(
            run.Client.ListStoresAsync(cancellationToken),
            json => json.PageStore,
            store => store.Name,
            new Table<Store>()
                .Add("NAME", store => store.Name)
                .Add("KIND", store => store.Kind)
                .Number("CACHES", store => Figures.Count(store.Caches), store => store.Caches.ToString(CultureInfo.InvariantCulture))
                .Number("FREE", store => store.FreeBytes is { } free ? Figures.Bytes(free) : "–", store => store.FreeBytes?.ToString(CultureInfo.InvariantCulture) ?? "")
                .Add("WRITABLE", store => store.Writable ? "yes" : "no")
                .Add("PATH", store => store.Path),
            "no stores");
        return ExitCodes.Ok;
    }
}
