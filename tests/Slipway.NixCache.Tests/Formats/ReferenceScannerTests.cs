using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Shouldly;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

public sealed class ReferenceScannerTests
{
    private const string Hash = "gq7c916frir9a5gk863dxmhr6iy2parb";

    [Fact]
    public void Finds_the_references_of_a_nar() => Scan(Nars.MadeByNix).ShouldBe([Hash]);

    [Fact]
    public void Finds_a_hash_wherever_it_is_cut()
    {
        var text = Encoding.ASCII.GetBytes($"elf /nix/store/{Hash}-lab-a-1.0/bin");
        for (var cut = 0; cut <= text.Length; cut++)
        {
            Scan(text[..cut], text[cut..]).ShouldBe([Hash], $"cut at {cut}");
        }
    }

    [Fact]
    public void Finds_all_windows_of_a_longer_run() => Scan(Encoding.ASCII.GetBytes($"1{Hash}2")).ShouldBe([$"1{Hash[..31]}", Hash, $"{Hash[1..]}2"], ignoreOrder: true);

    [Theory]
    [InlineData("gq7c916frir9a5gk863dxmhr6iy2par")]
    [InlineData("gq7c916frir9a5gk863dxmhr6iy2parE")]
    [InlineData("Gq7c916frir9a5gk863dxmhr6iy2parb")]
    [InlineData("gq7c916frir9a5gk 863dxmhr6iy2parb")]
    [InlineData("")]
    public void Finds_nothing_else(string text) => Scan(Encoding.ASCII.GetBytes(text)).ShouldBeEmpty();

    [Fact]
    public void Finds_what_a_plain_search_finds_in_any_pieces() => Prop.ForAll(
        Gen.Elements("aaaaaaabcdfgz019e/ \0"u8.ToArray()).ArrayOf(400).ToArbitrary(),
        Gen.Choose(1, 70).ToArbitrary(),
        (bytes, step) =>
        {
            // Bytes outside the alphabet are rare enough here for runs of 32 and more.
            var text = Encoding.ASCII.GetString(bytes).Replace(" ", "ab", StringComparison.Ordinal).Replace("/", "0", StringComparison.Ordinal);
            var expected = new HashSet<string>();
            for (var i = 0; i + 32 <= text.Length; i++)
            {
                if (text.AsSpan(i, 32).ContainsAnyExcept(Nix32.Alphabet) is false)
                {
                    expected.Add(text.Substring(i, 32));
                }
            }

            return Scan([.. Encoding.ASCII.GetBytes(text).Chunk(step)]).ToHashSet().SetEquals(expected);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_fill_of_one_character_is_one_candidate() => Scan(Enumerable.Repeat((byte)'0', 100_000).ToArray()).ShouldBe([new string('0', 32)]);

    [Fact]
    public void Stops_at_too_many_candidates()
    {
        var random = new Random(5);
        var bytes = Encoding.ASCII.GetBytes(random.GetItems<char>(Nix32.Alphabet, ReferenceScanner.MaxCandidates + 31));
        var scanner = new ReferenceScanner();

        scanner.Append(bytes);
        var before = (scanner.Overflowed, scanner.Found.Count);
        scanner.Append("0"u8);
        scanner.Append("1"u8);

        before.ShouldBe((false, ReferenceScanner.MaxCandidates));
        (scanner.Overflowed, scanner.Found.Count).ShouldBe((true, ReferenceScanner.MaxCandidates));
    }

    [Fact]
    public void Stops_at_a_file_made_to_hold_it_up()
    {
        // Few candidates, but a new one at every byte.
        var period = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(Nix32.Alphabet, 2_000)));
        var scanner = new ReferenceScanner();
        for (var given = 0L; given <= ReferenceScanner.MaxLookups + 32L; given += period.Length)
        {
            scanner.Overflowed.ShouldBeFalse();
            scanner.Append(period);
        }

        scanner.Overflowed.ShouldBeTrue();
        scanner.Found.Count.ShouldBe(32);
    }

    private static List<string> Scan(params byte[][] pieces)
    {
        var scanner = new ReferenceScanner();
        foreach (var piece in pieces)
        {
            scanner.Append(piece);
        }

        return [.. scanner.Found.Select(hash => hash.ToString())];
    }
}
