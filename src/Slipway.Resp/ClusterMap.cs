namespace Slipway.Resp;

/// <summary>Which node has which slot, and the only way from one node's line to another's.</summary>
/// <param name="create">Makes a node when the first slot of its address is seen.</param>
internal sealed class ClusterMap(RespUrl url, RespOptions options, Func<RespEndpoint, RespNode> create)
{
    /// <summary>A quarter each: when a node hangs, another is asked within the time that a caller gives a whole connect.</summary>
    private readonly RespOptions asking = options with { ConnectTimeout = options.ConnectTimeout / 4 };

    /// <summary>Held while a command gets in line and while slots change hands, so that nothing gets into a line that is being moved.</summary>
    private readonly Lock routing = new();

    private readonly RespNode?[] owners = new RespNode?[KeySlot.Count];
    private readonly Dictionary<RespEndpoint, RespNode> nodes = [];
    private volatile RespNode[] masters = [];
    private HashSet<RespEndpoint> known = [.. url.Endpoints];
    private bool isCovered;
    private bool closed;

    public IReadOnlyList<RespNode> Nodes => masters;

    /// <summary>Links to whichever node answers.</summary>
    public ILinkSource AnyNode => new AnyOf(this, url, options);

    /// <summary>All slots have a node, and no node that somebody needs is down.</summary>
    public bool IsWell => isCovered && !masters.Any(node => node.IsDown);

    public bool Knows(RespEndpoint endpoint)
    {
        lock (routing)
        {
            return known.Contains(endpoint);
        }
    }

    /// <summary>Puts a command in line at the node of its slot. False when closed.</summary>
    public bool TryAdd(PendingReply pending)
    {
        lock (routing)
        {
            if (closed)
            {
                return false;
            }

            Pick(pending.Slot).Queue.Add(pending);
            return true;
        }
    }

    /// <summary>
    /// Deals out anew what <paramref name="from"/> refused with MOVED or ASK, and what waits behind it for a slot that has moved.
    /// Nothing of that node is on the wire now, and nothing goes there until this is done.
    /// </summary>
    /// <returns>Who knows more about the slots; null when no slot has moved for good.</returns>
    public RespEndpoint? Redirect(RespNode from)
    {
        RespEndpoint? knows = null;
        var asked = new Dictionary<int, RespNode>();
        lock (routing)
        {
            if (closed)
            {
                return null;
            }

            from.Queue.ForEachRefused(pending =>
            {
                if (!ClusterTopology.TryParseRedirection(pending.Refusal!, from.Endpoint, out bool ask, out int slot, out RespEndpoint target))
                {
                    return;
                }

                RespNode node = At(target);
                pending.Asking = ask;
                if (ask)
                {
                    pending.AskedTo = node;
                    asked[slot] = node;
                }
                else
                {
                    owners[slot] = node;
                    knows = target;
                }
            });

            // What the same pipeline had refused otherwise (TRYAGAIN while half of the keys were gone, NOSCRIPT) goes with it: left here, the
            // older ones would be overtaken by those that were asked elsewhere. Where they go, TRYAGAIN is said until all keys are there.
            if (asked.Count > 0)
            {
                from.Queue.ForEachRefused(pending => pending.AskedTo ??= asked.GetValueOrDefault(pending.Slot));
            }

            DealOut(from);
        }

        return knows;
    }

    /// <summary>Asks a node for the slots and follows its word.</summary>
    /// <param name="first">Asked before all others.</param>
    /// <exception cref="RespConnectionException">No node could tell.</exception>
    public async Task RefreshAsync(RespEndpoint? first, CancellationToken cancellationToken)
    {
        RespConnectionException? last = null;
        foreach (RespEndpoint endpoint in Candidates(first))
        {
            try
            {
                await ApplyAsync(await AskAsync(endpoint, cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
                return;
            }
            catch (RespConnectionException fault)
            {
                last = last is { Reason: RespConnectionFailure.AuthenticationFailed } ? last : fault;
            }
        }

        throw last!;
    }

    public async ValueTask CloseAsync()
    {
        RespNode[] all;
        lock (routing)
        {
            closed = true;
            all = [.. nodes.Values];
        }

        foreach (RespNode node in all)
        {
            await node.CloseAsync().ConfigureAwait(false);
        }
    }

    private async Task<ClusterTopology> AskAsync(RespEndpoint endpoint, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(asking.ConnectTimeout * 2, options.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            RespLink link = await RespLink.OpenAsync(endpoint, url.Credentials, 0, asking, either.Token).ConfigureAwait(false);
            await using (link.ConfigureAwait(false))
            {
                RespValue slots = await link.AskAsync(RespCommand.Of("CLUSTER", "SLOTS"), either.Token).ConfigureAwait(false);
                var topology = ClusterTopology.Parse(slots, endpoint);
                return topology.Ranges.Count > 0 ? topology : throw Failed($"{endpoint}: no slot of the cluster has a node.", null);
            }
        }
        catch (OperationCanceledException cause) when (!cancellationToken.IsCancellationRequested)
        {
            throw Failed($"{endpoint} does not answer CLUSTER SLOTS.", cause);
        }
        catch (Exception cause) when (cause is IOException or RespServerException or RespProtocolException)
        {
            throw Failed($"{endpoint}: {cause.Message}", cause);
        }
    }

    /// <summary>
    /// Before a slot leaves a node, that node's line is stopped and what is on the wire gets its answer; otherwise a newer command
    /// could overtake an older one by the new way.
    /// </summary>
    private async Task ApplyAsync(ClusterTopology topology)
    {
        List<RespNode> losing;
        lock (routing)
        {
            losing = Losing(topology);
        }

        var stopped = new List<Task>();
        HashSet<RespEndpoint> staying = [.. topology.Ranges.Select(range => range.Master)];
        foreach (RespNode node in losing)
        {
            stopped.Add(node.Queue.HoldAsync());
            if (!staying.Contains(node.Endpoint))
            {
                // It may be dead, and silent: don't wait for its answers as long as for those of a living one.
                node.Opened?.Retire($"{node.Endpoint} has no slots any more.");
            }
        }

        await Task.WhenAll(stopped).ConfigureAwait(false);
        List<RespNode> gone;
        lock (routing)
        {
            gone = Install(topology, staying);
        }

        foreach (RespNode node in losing)
        {
            node.Queue.Release();
        }

        foreach (RespNode node in gone)
        {
            await node.CloseAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Nodes with a connection whose slots will be somebody else's.</summary>
    private List<RespNode> Losing(ClusterTopology topology)
    {
        var next = new RespEndpoint?[KeySlot.Count];
        foreach ((int first, int last, RespEndpoint master) in topology.Ranges)
        {
            Array.Fill(next, master, first, last - first + 1);
        }

        HashSet<RespNode> losing = [];
        for (int slot = 0; slot < owners.Length; slot++)
        {
            if (owners[slot] is { Opened: not null } owner && next[slot] is { } master && master != owner.Endpoint)
            {
                losing.Add(owner);
            }
        }

        return [.. losing];
    }

    private List<RespNode> Install(ClusterTopology topology, HashSet<RespEndpoint> staying)
    {
        if (closed)
        {
            return [];
        }

        // A slot that nobody has keeps its last owner: it may come back, and its commands wait there meanwhile.
        foreach ((int first, int last, RespEndpoint master) in topology.Ranges)
        {
            Array.Fill(owners, At(master), first, last - first + 1);
        }

        HashSet<RespNode> owning = [.. owners.OfType<RespNode>()];
        isCovered = topology.Ranges.Sum(range => range.Last - range.First + 1) >= KeySlot.Count;
        masters = [.. owning.OrderBy(node => node.Address, StringComparer.Ordinal)];
        known = [.. topology.All, .. staying];
        foreach (RespNode node in nodes.Values.Where(node => node.Opened is not null))
        {
            DealOut(node);
        }

        // One that is importing its first slot owns none yet, but answers what ASK sent there.
        List<RespNode> gone = [.. nodes.Values.Where(node => !owning.Contains(node) && (node.Opened is null || node.Queue.IsIdle))];
        foreach (RespNode node in gone)
        {
            nodes.Remove(node.Endpoint);
        }

        return gone;
    }

    /// <summary>Moves everything that waits at a node and belongs elsewhere, in order.</summary>
    private void DealOut(RespNode from)
    {
        List<PendingReply> moving = from.Queue.TakeOut(
            pending => pending.AskedTo is not null || (!(pending.Asking && !from.IsDown) && Pick(pending.Slot) != from));
        foreach (PendingReply pending in moving)
        {
            RespNode target = pending.AskedTo ?? Pick(pending.Slot);
            pending.Asking = pending.AskedTo is not null;
            pending.AskedTo = null;
            target.Queue.AddMoved(pending);
        }
    }

    /// <summary>No key, or nobody has the slot: the first node that is not down; always the same one, to keep the order.</summary>
    private RespNode Pick(int slot)
    {
        if (slot >= 0 && owners[slot] is { } owner)
        {
            return owner;
        }

        foreach (RespNode master in masters)
        {
            if (!master.IsDown)
            {
                return master;
            }
        }

        return masters[0];
    }

    private RespNode At(RespEndpoint endpoint)
    {
        if (!nodes.TryGetValue(endpoint, out RespNode? node))
        {
            node = create(endpoint);
            nodes.Add(endpoint, node);
        }

        return node;
    }

    /// <summary>Those that answer first, in no fixed order: the word of one that is cut off from the others must not be the only one heard.</summary>
    private List<RespEndpoint> Candidates(RespEndpoint? first)
    {
        RespEndpoint[] all;
        HashSet<RespEndpoint> down;
        lock (routing)
        {
            all = [.. known.Union(url.Endpoints)];
            down = [.. masters.Where(node => node.IsDown).Select(node => node.Endpoint)];
        }

        // At first in the order of the URL.
        if (masters.Length > 0)
        {
            Random.Shared.Shuffle(all);
        }

        return [.. all.OrderBy(endpoint => endpoint == first ? 0 : down.Contains(endpoint) ? 2 : 1)];
    }

    private static RespConnectionException Failed(string message, Exception? cause) =>
        new(RespConnectionFailure.ConnectFailed, inDoubt: false, message, cause);

    private sealed class AnyOf(ClusterMap map, RespUrl url, RespOptions options) : ILinkSource
    {
        public Task<RespLink> OpenAsync(CancellationToken cancellationToken) =>
            RespLink.OpenAsync(map.Candidates(null)[0], url.Credentials, 0, options, cancellationToken);

        public void Attach(RespConnection connection)
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        public override string ToString() => url.ToString();
    }
}
