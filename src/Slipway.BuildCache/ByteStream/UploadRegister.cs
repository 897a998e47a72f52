using System.Collections.Concurrent;
using System.Text;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Grpc;

namespace Slipway.BuildCache.ByteStream;

/// <summary>
/// The large uploads under way, by the name they can be resumed by. One at a time: a client that comes again under the same uuid has
/// lost its first connection, whether or not we have noticed, so the newcomer goes on and the old stream is cut.
/// </summary>
internal sealed class UploadRegister
{
    private readonly ConcurrentDictionary<(Guid Space, string Name), Turn> turns = new();

    /// <summary>Waits until no other stream has this upload, and takes it.</summary>
    public async ValueTask<Turn> EnterAsync(GrpcCall call, ContentSpace space, ResourceName name, ReadOnlyMemory<byte> text)
    {
        var turn = new Turn(this, call, (space.Owner, Key(name, text.Span)));
        while (true)
        {
            var holder = turns.GetOrAdd(turn.Key, turn);
            if (ReferenceEquals(holder, turn))
            {
                return turn;
            }

            holder.Call.Cut(new GrpcException(GrpcStatus.Aborted, "The same upload was begun anew on another stream."));
            await holder.Left.WaitAsync(call.Aborted);
        }
    }

    /// <summary>Bytes of an unfinished upload that need not be sent again.</summary>
    public async ValueTask<long> ResumableAsync(ContentSpace space, ResourceName name, ReadOnlyMemory<byte> text, CancellationToken cancellationToken)
    {
        if (name.Digest.Size <= ContentSpace.MaxSmall)
        {
            return 0;
        }

        var key = Key(name, text.Span);
        return turns.TryGetValue((space.Owner, key), out var turn) ? turn.Upload?.Size ?? 0 : await BlobUpload.ResumableAsync(space, name.Digest, name.IsCompressed, key, cancellationToken);
    }

    // The digest is part of it: clients may use one uuid for many blobs.
    private static string Key(ResourceName name, ReadOnlySpan<byte> text) =>
        $"{(name.IsCompressed ? "zstd" : "raw")} {name.Digest} {Encoding.Latin1.GetString(name.Upload(text))}";

    internal sealed class Turn(UploadRegister register, GrpcCall call, (Guid Space, string Name) key) : IAsyncDisposable
    {
        private readonly TaskCompletionSource left = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public GrpcCall Call => call;

        public (Guid Space, string Name) Key => key;

        public string Name => key.Name;

        public Task Left => left.Task;

        /// <summary>Set once it has begun; others only read its size.</summary>
        public BlobUpload? Upload { get; set; }

        public ValueTask DisposeAsync()
        {
            register.turns.TryRemove(new KeyValuePair<(Guid, string), Turn>(key, this));
            left.TrySetResult();
            return ValueTask.CompletedTask;
        }
    }
}
