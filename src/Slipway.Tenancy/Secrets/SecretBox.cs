using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.Tenancy;

/// <summary>
/// Seals secrets at rest with AES-256-GCM. Each purpose has its own key, derived by HKDF from one master key that lies in the data
/// folder, never in the database: a copy of the database alone opens nothing.
/// </summary>
/// <remarks>Sealed form: version (1) ‖ nonce (12) ‖ ciphertext ‖ tag (16).</remarks>
public sealed class SecretBox
{
    private const byte Version = 1;
    private const int KeyBytes = 32;
    private const int NonceBytes = 12;
    private const int TagBytes = 16;
    private readonly byte[] master;
    private readonly ConcurrentDictionary<string, byte[]> derived = new(StringComparer.Ordinal);

    private SecretBox(byte[] master) => this.master = master;

    /// <summary>Opens <c>keys/master.key</c> in <paramref name="dataFolder"/>, and makes it at the first start.</summary>
    public static SecretBox Open(string dataFolder)
    {
        var folder = Path.Combine(dataFolder, "keys");
        var path = Path.Combine(folder, "master.key");
        if (!File.Exists(path))
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            DurableFile.Write(path, RandomNumberGenerator.GetBytes(KeyBytes));
        }

        var master = File.ReadAllBytes(path);
        return master.Length == KeyBytes
            ? new SecretBox(master)
            : throw new InvalidDataException($"{path} must hold {KeyBytes} bytes and holds {master.Length}. Restore it from a backup: without it the sealed secrets in the database can't be opened.");
    }

    /// <param name="purpose">What kind of secret it is, such as <c>nix-signing-key</c>; one key each.</param>
    /// <param name="associatedData">Where it belongs (an id): a sealed secret copied to another place does not open there.</param>
    public byte[] Seal(string purpose, ReadOnlySpan<byte> plaintext, ReadOnlySpan<byte> associatedData)
    {
        var box = new byte[1 + NonceBytes + plaintext.Length + TagBytes];
        box[0] = Version;
        var nonce = box.AsSpan(1, NonceBytes);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(DeriveKey(purpose), TagBytes);
        aes.Encrypt(nonce, plaintext, box.AsSpan(1 + NonceBytes, plaintext.Length), box.AsSpan(box.Length - TagBytes), associatedData);
        return box;
    }

    /// <summary>Opens what <see cref="Seal"/> made with the same purpose and associated data.</summary>
    /// <exception cref="CryptographicException">It was changed, moved, or sealed under another master key.</exception>
    public byte[] Open(string purpose, ReadOnlySpan<byte> box, ReadOnlySpan<byte> associatedData)
    {
        if (box.Length < 1 + NonceBytes + TagBytes || box[0] != Version)
        {
            throw new CryptographicException("This is not a sealed secret of a version we know.");
        }

        var plaintext = new byte[box.Length - 1 - NonceBytes - TagBytes];
        using var aes = new AesGcm(DeriveKey(purpose), TagBytes);
        aes.Decrypt(box.Slice(1, NonceBytes), box.Slice(1 + NonceBytes, plaintext.Length), box[^TagBytes..], plaintext, associatedData);
        return plaintext;
    }

    internal byte[] DeriveKey(string purpose) => derived.GetOrAdd(
        purpose,
        static (name, key) => HKDF.DeriveKey(HashAlgorithmName.SHA256, key, KeyBytes, salt: null, Encoding.UTF8.GetBytes("slipway/" + name)),
        master);
}
