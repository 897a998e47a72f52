using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Shouldly;
using Xunit;

namespace Slipway.Native.Tests;

public sealed class Ed25519Tests
{
    // RFC 8032, section 7.1, tests 1 and 2.
    [Theory]
    [InlineData(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")]
    [InlineData(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")]
    public void Agrees_with_the_vectors_of_the_standard(string seed, string publicKey, string message, string signature)
    {
        var made = new byte[Ed25519.SignatureSize];

        Ed25519.Sign(Convert.FromHexString(seed), Convert.FromHexString(message), made);

        Convert.ToHexStringLower(Ed25519.PublicKey(Convert.FromHexString(seed))).ShouldBe(publicKey);
        Convert.ToHexStringLower(made).ShouldBe(signature);
        Ed25519.Verify(Convert.FromHexString(publicKey), Convert.FromHexString(message), made).ShouldBeTrue();
    }

    [Fact]
    public void Accepts_a_signature_made_by_nix() => Ed25519.Verify(
        Convert.FromBase64String("CCKaOKYVdnTAQdZ5mt70mnwxvHWptfvr0yX0N+M+d6I="),
        Encoding.ASCII.GetBytes("1;/nix/store/gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0;sha256:1bxzxzalfnl10fcmrc8xdpiwxxjrqkzl4zlk2c6yxwrhx90r6vkq;310120;"),
        Convert.FromBase64String("PYeodU4JtSJ7YME1ruQvN7j+34BzztWXCU91aWdndT7tvW0N5D/xuvYH/7U7BgoyP1TgznUogDSidtv6mxRZCA==")).ShouldBeTrue();

    [Fact]
    public void Any_flipped_bit_makes_a_signature_wrong() => Prop.ForAll<byte[], int>((message, bit) =>
    {
        byte[] seed = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
        byte[] signed = [1, .. message];
        var signature = new byte[64];
        Ed25519.Sign(seed, signed, signature);
        var valid = Ed25519.Verify(Ed25519.PublicKey(seed), signed, signature);

        var inMessage = Flip(signed, bit);
        var inSignature = Flip(signature, bit);
        return valid
            && !Ed25519.Verify(Ed25519.PublicKey(seed), inMessage, signature)
            && !Ed25519.Verify(Ed25519.PublicKey(seed), signed, inSignature);
    }).QuickCheckThrowOnFailure();

    [Fact]
    public void Keys_and_signatures_of_a_wrong_length_verify_nothing()
    {
        Ed25519.Verify(new byte[31], "m"u8, new byte[64]).ShouldBeFalse();
        Ed25519.Verify(new byte[32], "m"u8, new byte[63]).ShouldBeFalse();
        Ed25519.Verify([.. Enumerable.Repeat((byte)0xFF, 32)], "m"u8, new byte[64]).ShouldBeFalse();
    }

    [Fact]
    public void A_seed_of_a_wrong_length_is_a_fault_of_the_caller() => Should.Throw<ArgumentException>(() => Ed25519.PublicKey(new byte[31]));

    private static byte[] Flip(byte[] bytes, int bit)
    {
        var copy = bytes.ToArray();
        var position = (int)((uint)bit % (uint)(copy.Length * 8));
        copy[position / 8] ^= (byte)(1 << (position % 8));
        return copy;
    }
}
