using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Slipway.Native;

/// <summary>Ed25519 signatures (RFC 8032), by the OpenSSL 3 that .NET on Linux loads anyway.</summary>
public static unsafe partial class Ed25519
{
    public const int SeedSize = 32;
    public const int PublicKeySize = 32;
    public const int SignatureSize = 64;

    private const string Library = "libcrypto.so.3";

    // NID_ED25519 of openssl/obj_mac.h
    private const int KeyType = 1087;

    /// <summary>The public key that belongs to <paramref name="seed"/>.</summary>
    public static byte[] PublicKey(ReadOnlySpan<byte> seed)
    {
        using var key = PrivateKey(seed);
        var result = new byte[PublicKeySize];
        nuint length = PublicKeySize;
        fixed (byte* to = result)
        {
            Check(EVP_PKEY_get_raw_public_key(key, to, &length) == 1);
        }

        return result;
    }

    /// <summary>Writes the 64 bytes of the signature of <paramref name="message"/>: the same bytes every time.</summary>
    public static void Sign(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> message, Span<byte> signature)
    {
        if (signature.Length != SignatureSize)
        {
            throw new ArgumentException($"A signature has {SignatureSize} bytes, not {signature.Length}.", nameof(signature));
        }

        using var key = PrivateKey(seed);
        using var context = NewContext();
        Check(EVP_DigestSignInit(context, null, 0, 0, key) == 1);
        nuint length = SignatureSize;
        fixed (byte* from = NeverNull(message))
        fixed (byte* to = signature)
        {
            Check(EVP_DigestSign(context, to, &length, from, (nuint)message.Length) == 1);
        }
    }

    /// <summary>
    /// Whether <paramref name="signature"/> is the one of <paramref name="message"/>. Wrong lengths and keys that are no point
    /// of the curve are a plain no: they come from outside.
    /// </summary>
    public static bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (publicKey.Length != PublicKeySize || signature.Length != SignatureSize)
        {
            return false;
        }

        fixed (byte* raw = publicKey)
        fixed (byte* from = NeverNull(message))
        fixed (byte* sig = signature)
        {
            using var key = EVP_PKEY_new_raw_public_key(KeyType, 0, raw, PublicKeySize);
            Check(!key.IsInvalid);
            using var context = NewContext();
            Check(EVP_DigestVerifyInit(context, null, 0, 0, key) == 1);
            if (EVP_DigestVerify(context, sig, SignatureSize, from, (nuint)message.Length) == 1)
            {
                return true;
            }

            // The reason stays in this thread's error queue, which others (TLS) read after their own calls.
            ERR_clear_error();
            return false;
        }
    }

    private static KeyHandle PrivateKey(ReadOnlySpan<byte> seed)
    {
        if (seed.Length != SeedSize)
        {
            throw new ArgumentException($"A seed has {SeedSize} bytes, not {seed.Length}.", nameof(seed));
        }

        fixed (byte* raw = seed)
        {
            var key = EVP_PKEY_new_raw_private_key(KeyType, 0, raw, SeedSize);
            Check(!key.IsInvalid);
            return key;
        }
    }

    private static ContextHandle NewContext()
    {
        var context = EVP_MD_CTX_new();
        Check(!context.IsInvalid);
        return context;
    }

    // OpenSSL takes a null message for "tell me the size".
    private static ReadOnlySpan<byte> NeverNull(ReadOnlySpan<byte> message) => message.IsEmpty ? "\0"u8 : message;

    private static void Check(bool succeeded)
    {
        if (!succeeded)
        {
            var code = ERR_get_error();
            ERR_clear_error();
            throw new CryptographicException($"OpenSSL failed with error {code:X8}.");
        }
    }

    [LibraryImport(Library)]
    private static partial KeyHandle EVP_PKEY_new_raw_private_key(int type, nint engine, byte* key, nuint length);

    [LibraryImport(Library)]
    private static partial KeyHandle EVP_PKEY_new_raw_public_key(int type, nint engine, byte* key, nuint length);

    [LibraryImport(Library)]
    private static partial int EVP_PKEY_get_raw_public_key(KeyHandle key, byte* publicKey, nuint* length);

    [LibraryImport(Library)]
    private static partial void EVP_PKEY_free(nint key);

    [LibraryImport(Library)]
    private static partial ContextHandle EVP_MD_CTX_new();

    [LibraryImport(Library)]
    private static partial void EVP_MD_CTX_free(nint context);

    [LibraryImport(Library)]
    private static partial int EVP_DigestSignInit(ContextHandle context, void** keyContext, nint digest, nint engine, KeyHandle key);

    [LibraryImport(Library)]
    private static partial int EVP_DigestSign(ContextHandle context, byte* signature, nuint* signatureLength, byte* message, nuint length);

    [LibraryImport(Library)]
    private static partial int EVP_DigestVerifyInit(ContextHandle context, void** keyContext, nint digest, nint engine, KeyHandle key);

    [LibraryImport(Library)]
    private static partial int EVP_DigestVerify(ContextHandle context, byte* signature, nuint signatureLength, byte* message, nuint length);

    [LibraryImport(Library)]
    private static partial ulong ERR_get_error();

    [LibraryImport(Library)]
    private static partial void ERR_clear_error();

    private sealed class KeyHandle() : SafeHandle(0, ownsHandle: true)
    {
        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle()
        {
            EVP_PKEY_free(handle);
            return true;
        }
    }

    private sealed class ContextHandle() : SafeHandle(0, ownsHandle: true)
    {
        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle()
        {
            EVP_MD_CTX_free(handle);
            return true;
        }
    }
}
