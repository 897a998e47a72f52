using Slipway.BuildCache.Cas;

namespace Slipway.BuildCache.Usage;

/// <summary>What some calls came to: of an invocation, or of a user in an hour.</summary>
internal sealed class UsageCounters
{
    public long Calls { get; private set; }
    public long ActionHits { get; private set; }
    public long ActionMisses { get; private set; }
    public long ActionWrites { get; private set; }
    public long BlobReads { get; private set; }
    public long BlobMisses { get; private set; }
    public long BlobWrites { get; private set; }
    public long BytesDown { get; private set; }
    public long BytesUp { get; private set; }
    public long TookMicroseconds { get; private set; }
    public long LongestMicroseconds { get; private set; }
    public long SavedMicroseconds { get; private set; }

    public void Add(in RequestRecord record)
    {
        Calls++;
        var took = (long)record.Duration.TotalMicroseconds;
        TookMicroseconds += took;
        LongestMicroseconds = Math.Max(LongestMicroseconds, took);
        switch (record.Kind)
        {
            case RequestKind.ActionHit:
                ActionHits++;
                BytesDown += record.Bytes;
                SavedMicroseconds += (long)record.Cost.TotalMicroseconds;
                break;
            case RequestKind.ActionMiss:
                ActionMisses++;
                break;
            case RequestKind.ActionWrite:
                ActionWrites++;
                BytesUp += record.Bytes;
                break;
            case RequestKind.BlobRead or RequestKind.BlobMiss or RequestKind.BatchRead or RequestKind.Tree:
                BlobReads += Math.Max(0, record.Blobs - record.Missing);
                BlobMisses += record.Missing;
                BytesDown += record.Bytes;
                break;
            case RequestKind.BlobWrite or RequestKind.BlobDuplicate or RequestKind.BatchUpdate:
                BlobWrites += Math.Max(0, record.Blobs - record.Missing);
                BytesUp += record.Bytes;
                break;
        }
    }
}
