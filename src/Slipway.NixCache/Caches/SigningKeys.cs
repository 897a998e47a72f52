using System.Text;
using Slipway.Api;
using Slipway.NixCache.Formats;
using Slipway.Tenancy;

namespace Slipway.NixCache;

/// <summary>
/// The Ed25519 keys of caches. Named <c>{cache}.{org}-{n}</c>: clients trust by name, so a rotated key needs a new one, and names
/// of orgs and caches have no dots, so no two caches can get the same.
/// </summary>
internal static class SigningKeys
{
    private const string Purpose = "nix-signing-key";

    public static string NameOf(string org, string cache, int number) => $"{cache}.{org}-{number}";

    /// <summary>True for every name this cache's keys have had or may get.</summary>
    public static bool IsNameOf(CacheSettings cache, string keyName) =>
        keyName.StartsWith($"{cache.Name}.{cache.Org}-", StringComparison.Ordinal);

    public static byte[] Seal(SecretBox secrets, Guid cacheId, SigningKeyPair key) => secrets.Seal(Purpose, key.Seed, BoundTo(cacheId, key.Name));

    public static SigningKeyPair Unseal(SecretBox secrets, Guid cacheId, string name, byte[] sealedSeed) =>
        SigningKeyPair.FromSeed(name, secrets.Open(Purpose, sealedSeed, BoundTo(cacheId, name)));

    /// <summary>A sealed seed opens only for the cache and name it was made for: rows can't be swapped.</summary>
    private static byte[] BoundTo(Guid cacheId, string name) => [.. cacheId.ToByteArray(), .. Encoding.UTF8.GetBytes(name)];
}

/// <summary>How events name a cache.</summary>
internal static class CacheTargets
{
    public static EventTarget Of(CacheSettings cache) => Of(cache.Id, cache.FullName);

    public static EventTarget Of(Guid id, string fullName) => new("cache", Data.EntityId.Show("cache", id), fullName);
}
