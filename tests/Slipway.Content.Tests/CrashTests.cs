using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Slipway.Content.Tests;

/// <summary>Kills the machine at a random moment, 200 times, and looks at what the next process finds.</summary>
public sealed class CrashTests
{
    /// <summary>Of each of the two. The first of them are those of the quick forms.</summary>
    private const int Kills = 100;

    private const int QuickKills = 3;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("speed", "slow")]
    public Task Death_of_the_process_loses_nothing_that_was_acknowledged() => CrashAsync(powerLoss: false, Kills);

    [Fact]
    [Trait("speed", "slow")]
    public Task Power_loss_loses_nothing_synced_and_leaves_no_action_without_its_blobs() => CrashAsync(powerLoss: true, Kills);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public Task The_first_few_deaths_lose_nothing_that_was_promised(bool powerLoss) => CrashAsync(powerLoss, QuickKills);

    private static async Task CrashAsync(bool powerLoss, int kills)
    {
        for (var seed = 0; seed < kills; seed++)
        {
            var random = new Random(seed);
            var volume = new CrashingVolume();
            var work = new Work(seed);

            // Up to three lives on one disk: what the second life writes stands on what it found.
            for (var life = random.Next(1, 4); life > 0; life--)
            {
                var reports = new List<string>();
                var store = volume.OpenStore(reports: reports);
                await store.Loaded;
                await work.CheckAsync(store, powerLoss, $"seed {seed}, before life {life}");
                volume.DieAfter(random.Next(2, 400));
                await work.RunAsync(store, volume);
                await store.DisposeAsync();
                volume = powerLoss ? volume.AfterPowerLoss(random) : volume.AfterKill(random);
            }

            await using var last = volume.OpenStore();
            await last.Loaded;
            await work.CheckAsync(last, powerLoss, $"seed {seed}");
            (await last.CheckAsync(quarantine: false, bytesPerSecond: 0, CancellationToken)).Findings.ShouldBeEmpty($"seed {seed}");
        }
    }

    /// <summary>Four clients that write blobs and actions until the machine dies, and what they were promised.</summary>
    private sealed class Work(int seed)
    {
        private readonly Guid owner = Guid.NewGuid();
        private readonly ConcurrentDictionary<int, int> written = new();
        private readonly ConcurrentDictionary<int, int> synced = new();
        private readonly ConcurrentDictionary<int, int[]> actions = new();
        private readonly ConcurrentDictionary<int, bool> removed = new();
        private int next;

        public async Task RunAsync(SegmentStore store, CrashingVolume volume)
        {
            var space = store.Space(owner);
            await Task.WhenAll(Enumerable.Range(0, 4).Select(client => Task.Run(async () =>
            {
                var random = new Random(HashCode.Combine(seed, client));
                while (!volume.IsDead)
                {
                    try
                    {
                        await StepAsync(store, space, random);
                    }
                    catch (Exception exception) when (exception is ContentStoreException or IOException or ObjectDisposedException)
                    {
                        // Nothing was promised.
                    }
                }
            })));
        }

        private async Task StepAsync(SegmentStore store, ContentSpace space, Random random)
        {
            switch (random.Next(20))
            {
                case 0:
                    await store.CheckpointAsync(space, onlyWhenDue: false);
                    break;
                case 1:
                    await store.CompactAsync(0.9, CancellationToken.None);
                    break;
                case 2:
                    await PutLargeAsync(space);
                    break;
                case 3 or 4:
                    var gone = random.Next(Math.Max(1, next));
                    if (!actions.Values.Any(blobs => blobs.Contains(gone)))
                    {
                        removed[gone] = true;
                        space.Remove(KeyOf(gone));
                    }

                    break;
                case 5 or 6 or 7:
                    var id = await PutAsync(space, Durability.Synced);
                    synced[id] = id;
                    break;
                case 8 or 9 or 10:
                    await PutActionAsync(space);
                    break;
                default:
                    await PutAsync(space, Durability.Written);
                    break;
            }
        }

        // As the action cache does it: blobs, barrier, entry.
        private async Task PutActionAsync(ContentSpace space)
        {
            int[] blobs = [await PutAsync(space, Durability.Written), await PutAsync(space, Durability.Written)];
            var action = Interlocked.Increment(ref next);
            actions[action] = blobs;
            await space.SyncAsync(CancellationToken.None);
            if (blobs.All(blob => !removed.ContainsKey(blob)))
            {
                await space.PutAsync(new BlobKey(BlobKind.ActionSha256, Digest.Of(BitConverter.GetBytes(action))), new byte[40], BlobCodec.Raw, 40, Durability.Written, CancellationToken.None);
            }
        }

        private async Task<int> PutAsync(ContentSpace space, Durability durability)
        {
            var id = Interlocked.Increment(ref next);
            var bytes = BytesOf(id);
            await space.PutAsync(KeyOf(id), bytes, BlobCodec.Raw, bytes.Length, durability, CancellationToken.None);
            written[id] = id;
            return id;
        }

        private async Task PutLargeAsync(ContentSpace space)
        {
            var id = Interlocked.Increment(ref next);
            var bytes = BytesOf(id);
            await using var upload = space.BeginLarge(resumeName: null);
            await upload.WriteAsync(bytes, CancellationToken.None);
            await upload.CommitAsync(KeyOf(id), BlobCodec.Raw, bytes.Length, Durability.Synced, CancellationToken.None);
            written[id] = synced[id] = id;
        }

        public async Task CheckAsync(SegmentStore store, bool powerLoss, string when)
        {
            var space = store.Space(owner);
            foreach (var id in (powerLoss ? synced : written).Keys.Where(id => !removed.ContainsKey(id)))
            {
                (await ReadAsync(space, id)).ShouldBe(BytesOf(id), $"{when}: blob {id} was acknowledged");
            }

            foreach (var (action, blobs) in actions)
            {
                if (space.TryFind(new BlobKey(BlobKind.ActionSha256, Digest.Of(BitConverter.GetBytes(action))), out _))
                {
                    foreach (var blob in blobs.Where(blob => !removed.ContainsKey(blob)))
                    {
                        (await ReadAsync(space, blob)).ShouldBe(BytesOf(blob), $"{when}: action {action} refers to blob {blob}");
                    }
                }
            }

            // Whatever is found has the right bytes, acknowledged or not.
            for (var id = 1; id <= next; id++)
            {
                if (space.TryFind(KeyOf(id), out _))
                {
                    (await ReadAsync(space, id)).ShouldBe(BytesOf(id), $"{when}: blob {id} was found");
                }
            }
        }

        private static async Task<byte[]?> ReadAsync(ContentSpace space, int id)
        {
            if (!space.TryFind(KeyOf(id), out var info))
            {
                return null;
            }

            if (!info.IsLarge)
            {
                var bytes = new byte[info.StoredLength];
                return await space.ReadAsync(info, bytes, CancellationToken) ? bytes : null;
            }

            await using var reader = (await space.OpenAsync(info, CancellationToken)).ShouldNotBeNull();
            var large = new byte[reader.Length];
            (await reader.ReadAsync(large, 0, CancellationToken)).ShouldBe(large.Length);
            return large;
        }

        // Splitmix64: a thousand blobs are made and compared after each of 200 deaths.
        private static byte[] BytesOf(int id)
        {
            var words = new ulong[((id * 7919) % 9_000 / 8) + 1];
            for (var at = 0; at < words.Length; at++)
            {
                var mixed = ((ulong)id << 32) + ((ulong)at * 0x9e3779b97f4a7c15);
                mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
                words[at] = mixed ^ (mixed >> 27);
            }

            return MemoryMarshal.AsBytes(words.AsSpan())[..((id * 7919) % 9_000)].ToArray();
        }

        private static BlobKey KeyOf(int id) => new(BlobKind.Sha256, Digest.Of(BytesOf(id)));
    }
}
