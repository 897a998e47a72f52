using System.Buffers.Binary;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Slipway.BuildCache.ActionCache;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Namespaces;
using Slipway.BuildCache.Wire;
using Slipway.BuildCache.Wire.Protos;
using Slipway.Content;
using Slipway.Grpc;
using Digest = Slipway.Content.Digest;
using DigestFunction = Slipway.BuildCache.Wire.DigestFunction;
using Functions = Slipway.BuildCache.Wire.Protos.DigestFunction.Types.Value;
using RequestMetadata = Slipway.BuildCache.Wire.RequestMetadata;
using Status = Slipway.BuildCache.Wire.Protos.Status;

namespace Slipway.BuildCache.Assets;

/// <summary>
/// The Remote Asset API: what belongs to a URI and its qualifiers. Pushed associations are kept like action results, with all they
/// refer to, so a hit is only a hit while the bytes are here. Files are downloaded when the cache names hosts for it.
/// </summary>
internal sealed class AssetService(ReapiContext context, AssetDownloader downloader)
{
    /// <summary>Bazel sends the mirrors of one file, a handful.</summary>
    private const int MostUris = 100;

    private const int MostQualifiers = 100;

    /// <summary>URIs and qualifiers together; RFC 9110 recommends 8,000 bytes for one URI.</summary>
    private const int MostText = 256 * 1024;

    private const string Checksum = "checksum.sri";

    /// <summary>For downloads of clients that set none.</summary>
    private static readonly TimeSpan UsualTimeout = TimeSpan.FromMinutes(2);

    private static readonly TimeSpan LongestTimeout = TimeSpan.FromMinutes(10);

    /// <summary>What a download is checked with, or is no business of ours: who asks with them gets the file all the same.</summary>
    private static readonly string[] KnownQualifiers = [Checksum, "bazel.canonical_id", "resource_type"];

    private enum Shape
    {
        Blob,
        Directory,
    }

    public async ValueTask FetchBlobAsync(GrpcCall call)
    {
        using var message = new Message(await call.ReadRequestAsync());
        var request = FetchBlobRequest.Parser.ParseFrom(message.Span);
        var found = await FetchAsync(
            call, Shape.Blob, request.InstanceName, request.Uris, request.Qualifiers, request.DigestFunction, request.OldestContentAccepted, request.Timeout);
        call.WriteMessage(new FetchBlobResponse
        {
            Status = found.Status,
            Uri = found.Uri,
            Qualifiers = { request.Qualifiers },
            ExpiresAt = found.ExpiresAt,
            BlobDigest = found.Digest,
            DigestFunction = found.Function,
        }.ToByteArray());
    }

    public async ValueTask FetchDirectoryAsync(GrpcCall call)
    {
        using var message = new Message(await call.ReadRequestAsync());
        var request = FetchDirectoryRequest.Parser.ParseFrom(message.Span);
        var found = await FetchAsync(
            call, Shape.Directory, request.InstanceName, request.Uris, request.Qualifiers, request.DigestFunction, request.OldestContentAccepted, request.Timeout);
        call.WriteMessage(new FetchDirectoryResponse
        {
            Status = found.Status,
            Uri = found.Uri,
            Qualifiers = { request.Qualifiers },
            ExpiresAt = found.ExpiresAt,
            RootDirectoryDigest = found.Digest,
            DigestFunction = found.Function,
        }.ToByteArray());
    }

    public async ValueTask PushBlobAsync(GrpcCall call)
    {
        using var message = new Message(await call.ReadRequestAsync());
        var request = PushBlobRequest.Parser.ParseFrom(message.Span);
        await PushAsync(
            call, Shape.Blob, request.InstanceName, request.Uris, request.Qualifiers, request.DigestFunction, request.BlobDigest, request.ExpireAt,
            request.ReferencesBlobs, request.ReferencesDirectories);
        call.WriteMessage(default);
    }

    public async ValueTask PushDirectoryAsync(GrpcCall call)
    {
        using var message = new Message(await call.ReadRequestAsync());
        var request = PushDirectoryRequest.Parser.ParseFrom(message.Span);
        await PushAsync(
            call, Shape.Directory, request.InstanceName, request.Uris, request.Qualifiers, request.DigestFunction, request.RootDirectoryDigest, request.ExpireAt,
            request.ReferencesBlobs, request.ReferencesDirectories);
        call.WriteMessage(default);
    }

    private async ValueTask<Found> FetchAsync(
        GrpcCall call,
        Shape shape,
        string instance,
        RepeatedField<string> uris,
        RepeatedField<Qualifier> qualifiers,
        Functions function,
        Timestamp? oldest,
        Duration? timeout)
    {
        var start = context.Start();
        Check(uris, qualifiers);
        var kind = DigestFunction.Kind((int)function);
        var access = await context.AccessAsync(call, Encoding.UTF8.GetBytes(instance), BuildCacheRights.Read);
        foreach (var uri in uris)
        {
            if (await FindAsync(access, shape, uri, qualifiers, kind, oldest) is { } found)
            {
                Record(call, access, RequestKind.AssetHit, MissReason.None, start);
                return found;
            }
        }

        Record(call, access, RequestKind.AssetMiss, MissReason.Absent, start);
        if (shape == Shape.Directory || access.Cache.AssetHosts.Count == 0)
        {
            return Failed(uris[0], GrpcStatus.NotFound, "Nothing was pushed for these URIs and qualifiers.");
        }

        // A download fills the cache: that is writing.
        access = await context.AccessAsync(call, Encoding.UTF8.GetBytes(instance), BuildCacheRights.Read | BuildCacheRights.Write);
        if (qualifiers.FirstOrDefault(qualifier => !KnownQualifiers.Contains(qualifier.Name)) is { } unknown)
        {
            throw new GrpcException(
                GrpcStatus.InvalidArgument,
                $"Nothing was pushed for these URIs and qualifiers, and files can't be downloaded with the qualifier {unknown.Name}.",
                GrpcDetail.BadRequest([("qualifiers.name", $"\"{unknown.Name}\" not supported")]));
        }

        return await DownloadAsync(call, access, uris, qualifiers, kind, timeout);
    }

    private async ValueTask<Found> DownloadAsync(
        GrpcCall call, BuildCacheAccess access, RepeatedField<string> uris, RepeatedField<Qualifier> qualifiers, BlobKind kind, Duration? timeout)
    {
        var limit = timeout?.ToTimeSpan() is { } asked && asked > TimeSpan.Zero ? (asked < LongestTimeout ? asked : LongestTimeout) : UsualTimeout;
        using var cut = ReapiContext.CutWhenEnded(call, access);
        using var late = new CancellationTokenSource(limit, context.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(call.Aborted, late.Token);
        var last = Failed(uris[0], GrpcStatus.NotFound, "None of the URIs can be fetched.");
        foreach (var text in uris)
        {
            try
            {
                if (!Uri.TryCreate(text, UriKind.Absolute, out var uri))
                {
                    continue;
                }

                var integrity = qualifiers.FirstOrDefault(qualifier => qualifier.Name == Checksum)?.Value;
                var digest = await downloader.DownloadAsync(access.Space, kind, uri, access.Cache.AssetHosts, access.Cache.MaxBlobBytes, integrity, either.Token);
                await KeepAsync(access, Shape.Blob, [text], qualifiers, digest, null, digest.IsEmptyBlob ? [] : [digest]);
                return Successful(text, digest, null);
            }
            catch (AssetRefusedException refusal)
            {
                last = Failed(text, refusal.Status, refusal.Message);
            }
            catch (OperationCanceledException) when (late.IsCancellationRequested)
            {
                return Failed(text, GrpcStatus.DeadlineExceeded, $"The download took longer than {limit.TotalSeconds:0} s.");
            }
        }

        return last;
    }

    private async ValueTask PushAsync(
        GrpcCall call,
        Shape shape,
        string instance,
        RepeatedField<string> uris,
        RepeatedField<Qualifier> qualifiers,
        Functions function,
        Wire.Protos.Digest? digest,
        Timestamp? expireAt,
        RepeatedField<Wire.Protos.Digest> blobs,
        RepeatedField<Wire.Protos.Digest> directories)
    {
        var start = context.Start();
        Check(uris, qualifiers);
        var kind = DigestFunction.Kind((int)function);
        // Whoever says what a URI means decides what others build.
        var access = await context.AccessAsync(call, Encoding.UTF8.GetBytes(instance), BuildCacheRights.WriteActions);
        var subject = BlobDigest.Read(digest?.ToByteArray(), kind);

        // What a result of an action would refer to: the same closure.
        var refers = new ActionResult();
        if (shape == Shape.Blob)
        {
            blobs.Add(digest!);
        }
        else
        {
            directories.Add(digest!);
        }

        refers.OutputFiles.AddRange(blobs.Select(blob => new OutputFile { Digest = blob }));
        refers.OutputDirectories.AddRange(directories.Select(directory => new OutputDirectory { RootDirectoryDigest = directory }));
        var closure = new ActionClosure(access.Space, kind);
        if (!await closure.CollectAsync(refers.ToByteArray(), call.Aborted))
        {
            throw new GrpcException(
                GrpcStatus.FailedPrecondition,
                $"The asset refers to the blob {closure.Missing}, which is not here. Upload it before the push.",
                GrpcDetail.PreconditionFailure([("MISSING", $"blobs/{closure.Missing}", "")]));
        }

        await KeepAsync(access, shape, uris, qualifiers, subject, expireAt, closure.Blobs);
        Record(call, access, RequestKind.AssetPush, MissReason.None, start);
    }

    private async ValueTask KeepAsync(
        BuildCacheAccess access,
        Shape shape,
        IEnumerable<string> uris,
        RepeatedField<Qualifier> qualifiers,
        BlobDigest digest,
        Timestamp? expireAt,
        IReadOnlyCollection<BlobDigest> closure)
    {
        var asset = new PushBlobRequest
        {
            BlobDigest = new Wire.Protos.Digest { Hash = digest.Key.Hash.ToString(), SizeBytes = digest.Size },
            DigestFunction = (Functions)DigestFunction.Of(digest.Key.Kind),
            ExpireAt = expireAt,
        }.ToByteArray();
        var kept = new byte[sizeof(long) + asset.Length];
        BinaryPrimitives.WriteInt64LittleEndian(kept, context.Time.GetUtcNow().ToUnixTimeSeconds());
        asset.CopyTo(kept, sizeof(long));
        foreach (var uri in uris)
        {
            await ActionEntries.PutAsync(access.Space, KeyOf(access, shape, uri, qualifiers, digest.Key.Kind), 0, closure, kept, CancellationToken.None);
        }
    }

    private async ValueTask<Found?> FindAsync(
        BuildCacheAccess access, Shape shape, string uri, RepeatedField<Qualifier> qualifiers, BlobKind kind, Timestamp? oldest)
    {
        var now = context.Time.GetUtcNow();
        var found = await ActionEntries.FindAsync(access.Space, KeyOf(access, shape, uri, qualifiers, kind), 0, now, CancellationToken.None);
        try
        {
            if (!found.IsHit || found.Result.Length < sizeof(long))
            {
                return null;
            }

            var pushedAt = BinaryPrimitives.ReadInt64LittleEndian(found.Result);
            var asset = PushBlobRequest.Parser.ParseFrom(found.Result[sizeof(long)..]);
            return (asset.ExpireAt is { } end && end.ToDateTimeOffset() <= now) || (oldest is not null && pushedAt < oldest.Seconds)
                ? null
                : Successful(uri, BlobDigest.Read(asset.BlobDigest.ToByteArray(), kind), asset.ExpireAt);
        }
        finally
        {
            found.Return();
        }
    }

    // Qualifiers may come in any order. Lengths keep texts apart that would read the same side by side.
    private static BlobKey KeyOf(BuildCacheAccess access, Shape shape, string uri, RepeatedField<Qualifier> qualifiers, BlobKind kind)
    {
        var text = new StringBuilder().Append("asset ").Append(shape).Append(' ').Append(kind).Append(' ');
        foreach (var part in qualifiers.OrderBy(qualifier => qualifier.Name, StringComparer.Ordinal).SelectMany(qualifier => (string[])[qualifier.Name, qualifier.Value]).Prepend(uri))
        {
            text.Append(part.Length).Append(':').Append(part);
        }

        return new BlobKey(BlobKind.Named, access.ActionKey(Digest.Of(Encoding.UTF8.GetBytes(text.ToString()))));
    }

    private static void Check(RepeatedField<string> uris, RepeatedField<Qualifier> qualifiers)
    {
        if (uris.Count is 0 or > MostUris)
        {
            throw new WireFormatException($"There must be 1 to {MostUris} uris; there are {uris.Count}.");
        }

        if (qualifiers.Count > MostQualifiers || qualifiers.Select(qualifier => qualifier.Name).Distinct(StringComparer.Ordinal).Count() != qualifiers.Count)
        {
            throw new WireFormatException($"There may be {MostQualifiers} qualifiers at most, each with a name of its own.");
        }

        if (uris.Sum(uri => uri.Length) + qualifiers.Sum(qualifier => qualifier.Name.Length + qualifier.Value.Length) > MostText)
        {
            throw new WireFormatException($"The uris and qualifiers have more than {MostText} characters together.");
        }
    }

    private static Found Successful(string uri, BlobDigest digest, Timestamp? expiresAt) => new(
        new Status(), uri, expiresAt, new Wire.Protos.Digest { Hash = digest.Key.Hash.ToString(), SizeBytes = digest.Size }, (Functions)DigestFunction.Of(digest.Key.Kind));

    private static Found Failed(string uri, GrpcStatus status, string message) => new(new Status { Code = (int)status, Message = message }, uri, null, null, Functions.Unknown);

    private void Record(GrpcCall call, BuildCacheAccess access, RequestKind kind, MissReason reason, long start) => context.Record(new RequestRecord
    {
        Access = access,
        Kind = kind,
        Reason = reason,
        Blobs = 1,
        Missing = reason == MissReason.None ? 0 : 1,
        Metadata = RequestMetadata.Header(call.Http.Request.Headers),
        Duration = context.Since(start),
    });

    private sealed record Found(Status Status, string Uri, Timestamp? ExpiresAt, Wire.Protos.Digest? Digest, Functions Function);
}
