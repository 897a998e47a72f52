using System.Text;
using Slipway.BuildCache.Stages;
using Slipway.Content;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Namespaces;

/// <summary>What a caller may do in one build cache.</summary>
[Flags]
internal enum BuildCacheRights : byte
{
    None = 0,
    Read = 1,

    /// <summary>Upload blobs.</summary>
    Write = 2,

    /// <summary>Write action results, and what other tools store under a key.</summary>
    WriteActions = 4,
}

/// <summary>
/// One caller in one build cache: what every call of the cache's protocols works with. Good for as long as the call lasts; a stream
/// also has to end when <see cref="Ended"/> does.
/// </summary>
internal sealed class BuildCacheAccess
{
    private readonly AccessWatch watch;
    private CancellationTokenSource? ended;

    internal BuildCacheAccess(BuildCacheSettings cache, ContentSpace space, string sub, Caller caller, BuildCacheRights rights, AccessWatch watch)
    {
        Cache = cache;
        Space = space;
        Sub = sub;
        Caller = caller;
        Rights = rights;
        this.watch = watch;
    }

    public BuildCacheSettings Cache { get; }

    /// <summary>What the cache holds. One for the cache and all its sub-namespaces.</summary>
    public ContentSpace Space { get; }

    /// <summary>The sub-namespace below the cache; empty for the cache itself.</summary>
    public string Sub { get; }

    /// <summary><c>org/cache</c> or <c>org/cache/sub</c>.</summary>
    public string Name => Sub.Length == 0 ? Cache.FullName : $"{Cache.FullName}/{Sub}";

    public Caller Caller { get; }

    public BuildCacheRights Rights { get; }

    public bool MayRead => (Rights & BuildCacheRights.Read) != 0;

    public bool MayWrite => (Rights & BuildCacheRights.Write) != 0;

    public bool MayWriteActions => (Rights & BuildCacheRights.WriteActions) != 0;

    public OrgStage Stage => Cache.Stage;

    /// <summary>
    /// Cancelled when the caller's right ends: key revoked or expired, account disabled, cache deleted. Within a second, usually
    /// at once. Costs something on first use, so take it only for calls that wait.
    /// </summary>
    public CancellationToken Ended
    {
        get
        {
            if (ended is null && Interlocked.CompareExchange(ref ended, new CancellationTokenSource(), null) is null)
            {
                watch.Add(this);
            }

            return ended.Token;
        }
    }

    /// <summary>
    /// The hash under which the entry of an action is kept. Blobs belong to the whole cache; entries to the sub-namespace they were
    /// written in, so one branch never gets another's results.
    /// </summary>
    public Digest ActionKey(in Digest action)
    {
        if (Sub.Length == 0)
        {
            return action;
        }

        // Two different names can't give one input: a name has no NUL, and the digest has a fixed length.
        Span<byte> input = stackalloc byte[InstanceName.LongestName + 1 + Digest.Size];
        var length = Encoding.ASCII.GetBytes(Sub, input);
        input[length++] = 0;
        action.AsSpan().CopyTo(input[length..]);
        return Digest.Of(input[..(length + Digest.Size)]);
    }

    /// <summary>Ends the streams that hold this access.</summary>
    internal void End() => ended?.Cancel();
}
