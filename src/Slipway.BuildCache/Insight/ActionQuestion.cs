using System.Globalization;
using Slipway.Api;
using Slipway.BuildCache.ActionCache;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Data;
using Slipway.Tenancy;

namespace Slipway.BuildCache.Insight;

/// <summary>Why an action hits or misses: looked up as a client would, then held against what is known of its past.</summary>
internal sealed class ActionQuestion(Database database, RequestLog log, TimeProvider time)
{
    private const int MostMisses = 10;

    /// <summary>Reads <c>[sha256:|blake3:]hash[/size]</c> (a colon may stand for the slash); without a size any will do.</summary>
    public static BlobDigest Parse(string text)
    {
        var kind = text.StartsWith("blake3:", StringComparison.Ordinal) ? BlobKind.Blake3 : BlobKind.Sha256;
        var rest = text.AsSpan()[(kind == BlobKind.Blake3 || text.StartsWith("sha256:", StringComparison.Ordinal) ? "sha256:".Length : 0)..];
        var cut = rest.IndexOfAny('/', ':');
        var hex = cut < 0 ? rest : rest[..cut];
        long size = -1;
        return Digest.TryParse(hex, out var hash) && (cut < 0 || long.TryParse(rest[(cut + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out size))
            ? new BlobDigest(new BlobKey(kind, hash), size)
            : throw new ApiException(
                400, ProblemCodes.InvalidRequest, $"\"{text}\" is no digest.", "Write 64 lowercase hex digits, perhaps with sha256: or blake3: before and /size behind.");
    }

    public async Task<ActionExplanation> AnswerAsync(BuildCacheAccess access, BlobDigest action, CancellationToken cancellationToken)
    {
        await log.CatchUpAsync(cancellationToken);
        var found = await ActionEntries.FindAsync(access.Space, ActionEntries.KeyOf(access, action), action.Size, time.GetUtcNow(), cancellationToken);
        found.Return();
        var hash = action.Key.Hash.ToArray();
        await using var connection = await database.OpenAsync(cancellationToken);
        var producers = await InsightQueries.ProducersAsync(connection, access.Cache, hash, cancellationToken);
        var misses = await InsightQueries.MissesAsync(connection, access.Cache.Id, null, access.Sub, hash, MostMisses, cancellationToken);
        var here = producers.FirstOrDefault(producer => producer.InstanceName == access.Name);
        var elsewhere = producers.Where(producer => producer.InstanceName != access.Name).ToList();
        var (target, mnemonic) = here is not null ? (here.Target, here.Mnemonic) : misses is [var last, ..] ? (last.Target, last.Mnemonic) : ("", "");
        var alike = await InsightQueries.AlikeAsync(connection, access.Cache, hash, target, mnemonic, cancellationToken);
        var verdict = VerdictOf(found.Reason, here, elsewhere, alike);
        var missing = found.Reason == MissReason.Incomplete ? found.Missing.ToString() : null;
        return new ActionExplanation(
            action.Size < 0 ? action.Key.Hash.ToString() : action.ToString(), access.Name, verdict, Explain(verdict, access, here, elsewhere, alike, missing), missing, here, elsewhere, alike, misses);
    }

    private static string VerdictOf(MissReason reason, ActionProducer? here, IReadOnlyList<ActionProducer> elsewhere, IReadOnlyList<ActionProducer> alike) => reason switch
    {
        MissReason.None => "hit",
        MissReason.Incomplete => "incomplete",
        MissReason.OtherSize => "other_size",
        MissReason.Unreadable => "unreadable",
        _ when here is not null => "evicted",
        _ when elsewhere.Count > 0 => "elsewhere",
        _ when alike.Count > 0 => "changed",
        _ => "never_seen",
    };

    private static string Explain(
        string verdict, BuildCacheAccess access, ActionProducer? here, IReadOnlyList<ActionProducer> elsewhere, IReadOnlyList<ActionProducer> alike, string? missing) => verdict switch
    {
        "hit" => here is null
            ? "Its result is here, complete: it would hit now."
            : $"Its result is here, complete: it would hit now. {here.User} wrote it in invocation {here.Invocation}.",
        "incomplete" => $"Its result is here, but the blob {missing} it refers to is not. The next build that runs the action uploads both again.",
        "other_size" => "There is a result under this hash, of an action with another size: the size given is not that of the action.",
        "unreadable" => "Its result was damaged on the disk and is set aside. The next build that runs the action writes it again.",
        "evicted" => $"Its result was written here by {here!.User} in invocation {here.Invocation}, and is gone: evicted, as nobody used it while the cache needed room"
            + (access.Cache.Retention is { } kept ? $" or for {kept.TotalDays:0} days" : "") + $", or lost with a cleared store. More quota keeps more: slipway buildcache update {access.Cache.FullName} --quota SIZE.",
        "elsewhere" => $"Its result was never written to {access.Name}, but to {string.Join(", ", elsewhere.Select(one => one.InstanceName).Distinct(StringComparer.Ordinal))}. "
            + "Sub-namespaces keep results apart: use the same instance name for both builds to share them.",
        "changed" => $"Nobody ran exactly this action here. {Label(alike[0])} was built from other inputs, last in invocation {alike[0].Invocation} by {alike[0].User}: "
            + "a source, a flag, an environment variable or a tool differs. Compare the two builds' execution logs (bazel --execution_log_json_file).",
        _ => "Nobody wrote a result for this action here, as far as is remembered: its inputs are new, it is not cacheable, or no builder may write "
            + "action results (buildcache:ac-write).",
    };

    private static string Label(ActionProducer producer) => producer.Mnemonic.Length == 0 ? producer.Target : $"{producer.Mnemonic} of {producer.Target}";
}
