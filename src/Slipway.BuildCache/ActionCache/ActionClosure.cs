using System.Buffers;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Wire;
using Slipway.Content;

namespace Slipway.BuildCache.ActionCache;

/// <summary>
/// Everything an ActionResult refers to: output files, stdout and stderr, output trees and all files in them. Worked out once, when
/// the result is stored.
/// </summary>
internal sealed class ActionClosure(ContentSpace space, BlobKind kind)
{
    /// <summary>Trees and directories read for one result. A tree of 100,000 files has some 10 MB.</summary>
    private const long MostTreeBytes = 256L << 20;

    /// <summary>Blobs of one result; its entry is then some 40 MB.</summary>
    private const int MostBlobs = 1_000_000;

    private readonly HashSet<BlobDigest> blobs = [];
    private readonly HashSet<(BlobDigest Digest, bool IsTree)> seen = [];
    private readonly Queue<(BlobDigest Digest, bool IsTree)> unread = [];
    private long treeBytes;

    public IReadOnlyCollection<BlobDigest> Blobs => blobs;

    /// <summary>The first blob that isn't here, when not all are.</summary>
    public BlobDigest? Missing { get; private set; }

    /// <summary>Collects, and renews the last use of all that is collected. False: see <see cref="Missing"/>.</summary>
    /// <exception cref="WireFormatException">The result or one of its trees is not what it should be.</exception>
    public async ValueTask<bool> CollectAsync(ReadOnlyMemory<byte> actionResult, CancellationToken cancellationToken)
    {
        ReadResult(actionResult.Span);
        while (unread.TryDequeue(out var next))
        {
            var (tree, isTree) = next;
            treeBytes += tree.Size;
            if (treeBytes > MostTreeBytes)
            {
                throw new WireFormatException($"The output directories of the result have more than {MostTreeBytes >> 20} MiB of Tree and Directory messages.");
            }

            if (!space.TryFind(tree.Key, out var info) || info.Length != tree.Size)
            {
                Missing = tree;
                return false;
            }

            var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Max(1, tree.Size));
            try
            {
                if (!await BlobReading.ReadAsync(space, info, buffer.AsMemory(0, (int)tree.Size), cancellationToken))
                {
                    Missing = tree;
                    return false;
                }

                if (isTree)
                {
                    ReadTree(buffer.AsSpan(0, (int)tree.Size));
                }
                else
                {
                    ReadDirectory(buffer.AsSpan(0, (int)tree.Size), follow: true);
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }

        foreach (var blob in blobs)
        {
            if (!space.Touch(blob.Key, blob.Size))
            {
                Missing = blob;
                return false;
            }
        }

        return true;
    }

    private void ReadResult(ReadOnlySpan<byte> result)
    {
        var reader = new ProtoReader(result);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 2:
                    AddDigestOf(reader.Bytes(), digestField: 2);
                    break;
                case 3:
                    ReadOutputDirectory(reader.Bytes());
                    break;
                case 6 or 8:
                    Add(reader.Bytes());
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
    }

    private void ReadOutputDirectory(ReadOnlySpan<byte> directory)
    {
        var reader = new ProtoReader(directory);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 3:
                    Follow(Add(reader.Bytes()), isTree: true);
                    break;
                case 5:
                    Follow(Add(reader.Bytes()), isTree: false);
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
    }

    // Tree {1 root, 2 children}: the directories are in it, the files are not.
    private void ReadTree(ReadOnlySpan<byte> tree)
    {
        var reader = new ProtoReader(tree);
        while (reader.Next(out var field))
        {
            if (field is 1 or 2)
            {
                ReadDirectory(reader.Bytes(), follow: false);
            }
            else
            {
                reader.Skip();
            }
        }
    }

    private void ReadDirectory(ReadOnlySpan<byte> directory, bool follow)
    {
        var reader = new ProtoReader(directory);
        while (reader.Next(out var field))
        {
            switch (field)
            {
                case 1:
                    AddDigestOf(reader.Bytes(), digestField: 2);
                    break;
                case 2 when follow:
                    Follow(AddDigestOf(reader.Bytes(), digestField: 2), isTree: false);
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
    }

    private void Follow(BlobDigest? digest, bool isTree)
    {
        if (digest is { } known && seen.Add((known, isTree)))
        {
            unread.Enqueue((known, isTree));
        }
    }

    /// <summary>Adds the digest inside a node; null when there is none, or it is the empty blob's.</summary>
    private BlobDigest? AddDigestOf(ReadOnlySpan<byte> node, int digestField)
    {
        var reader = new ProtoReader(node);
        while (reader.Next(out var field))
        {
            if (field == digestField)
            {
                return Add(reader.Bytes());
            }

            reader.Skip();
        }

        return null;
    }

    private BlobDigest? Add(ReadOnlySpan<byte> message)
    {
        // Bazel sends an empty Digest message for "none" in some versions' stdout.
        if (message.IsEmpty)
        {
            return null;
        }

        var digest = BlobDigest.Read(message, kind);
        if (digest.IsEmptyBlob)
        {
            return null;
        }

        blobs.Add(digest);
        return blobs.Count <= MostBlobs ? digest : throw new WireFormatException($"The result refers to more than {MostBlobs} blobs.");
    }
}
