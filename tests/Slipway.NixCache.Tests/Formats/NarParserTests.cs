using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using Shouldly;
using Slipway.NixCache.Formats;
using Xunit;

namespace Slipway.NixCache.Tests.Formats;

public sealed class NarParserTests
{
    [Fact]
    public void Lists_a_nar_made_by_nix_as_nix_does()
    {
        using var parser = Parse(Nars.MadeByNix);

        Encoding.UTF8.GetString(parser.Listing.ToArray()).ShouldBe(Nars.ListingByNix);
        parser.Size.ShouldBe(Nars.MadeByNix.Length);
        parser.Entries.ShouldBe(9);
        parser.RootIsRegularFile.ShouldBeFalse();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(61)]
    public void Pieces_of_any_size_give_the_same(int step)
    {
        using var parser = Parse(Nars.MadeByNix, step);

        Encoding.UTF8.GetString(parser.Listing.ToArray()).ShouldBe(Nars.ListingByNix);
    }

    [Fact]
    public void Offsets_point_at_the_contents()
    {
        using var parser = Parse(Nars.MadeByNix);
        using var listing = JsonDocument.Parse(parser.Listing.ToArray());

        var node = listing.RootElement.GetProperty("root").GetProperty("entries").GetProperty("sub").GetProperty("entries")
            .GetProperty("deep").GetProperty("entries").GetProperty("ref");
        var contents = Nars.MadeByNix.AsSpan(node.GetProperty("narOffset").GetInt32(), node.GetProperty("size").GetInt32());

        Encoding.ASCII.GetString(contents).ShouldBe("see /nix/store/gq7c916frir9a5gk863dxmhr6iy2parb-lab-a-1.0\n");
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        for (var length = 0; length < Nars.MadeByNix.Length; length++)
        {
            Should.Throw<NarFormatException>(() => Parse(Nars.MadeByNix[..length])).Offset.ShouldBe(length);
        }
    }

    [Fact]
    public void One_byte_more_is_refused() => Fault([.. Nars.MadeByNix, 0]).ShouldStartWith("There is something after the end of the archive");

    [Fact]
    public void A_changed_byte_is_refused_or_makes_another_whole_archive() => Prop.ForAll(
        Gen.Choose(0, Nars.MadeByNix.Length - 1).ToArbitrary(),
        Gen.Choose(1, 255).ToArbitrary(),
        (position, flip) =>
        {
            var damaged = Nars.MadeByNix.ToArray();
            damaged[position] ^= (byte)flip;
            try
            {
                using var parser = Parse(damaged);
                // What passes is a NAR again: its listing is JSON, and it is read to its last byte.
                using var listing = JsonDocument.Parse(parser.Listing.ToArray());
                return parser.Size == damaged.Length;
            }
            catch (NarFormatException fault)
            {
                return fault.Offset <= damaged.Length;
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_single_file_tells_where_its_contents_are()
    {
        using var plain = Parse(Nars.Archive(Nars.Plain("hello")));
        using var executable = Parse(Nars.Archive("(", "type", "regular", "executable", "", "contents", "hello", ")"));
        using var link = Parse(Nars.Archive(Nars.Link("hello")));

        plain.RootContents.ShouldBe((96, 5));
        Nars.Archive(Nars.Plain("hello")).AsSpan(96, 5).SequenceEqual("hello"u8).ShouldBeTrue();
        executable.RootIsRegularFile.ShouldBeFalse();
        link.RootIsRegularFile.ShouldBeFalse();
        Listing(link).ShouldBe("""{"version":1,"root":{"type":"symlink","target":"hello"}}""");
    }

    [Fact]
    public void A_file_may_come_without_contents()
    {
        using var parser = Parse(Nars.Archive("(", "type", "regular", ")"));

        Listing(parser).ShouldBe("""{"version":1,"root":{"type":"regular","size":0}}""");
    }

    [Theory]
    [InlineData("b", "a")]
    [InlineData("a", "a")]
    [InlineData("ab", "a")]
    [InlineData("a", "Z")]
    public void Names_have_to_ascend(string first, string second) =>
        Fault(Nars.Archive(Nars.Folder((first, Nars.Plain("")), (second, Nars.Plain(""))))).ShouldStartWith($"'{second}' is out of order");

    [Fact]
    public void Names_are_compared_within_their_folder_only()
    {
        using var parser = Parse(Nars.Archive(Nars.Folder(
            ("m", Nars.Folder(("a", Nars.Plain("")), ("z", Nars.Folder(("a", Nars.Plain("")))))),
            ("n", Nars.Plain("")))));

        parser.Entries.ShouldBe(5);
        Fault(Nars.Archive(Nars.Folder(("m", Nars.Folder(("z", Nars.Plain("")))), ("b", Nars.Plain(""))))).ShouldStartWith("'b' is out of order");
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("/")]
    [InlineData("a\0b")]
    public void Names_that_lead_elsewhere_are_refused(string name) =>
        Fault(Nars.Archive(Nars.Folder((name, Nars.Plain(""))))).ShouldContain("can't be the name of a file");

    [Fact]
    public void Error_messages_show_no_control_characters_of_names() =>
        Fault(Nars.Archive(Nars.Folder(("\u001b[31m/", Nars.Plain(""))))).ShouldStartWith("'?[31m/' can't be");

    [Fact]
    public void Names_and_targets_that_are_not_utf8_are_listed_with_substitutes()
    {
        byte[] latin1 = [(byte)'c', (byte)'a', (byte)'f', 0xE9];

        using var parser = Parse(Nars.Archive(Nars.Folder((latin1, Nars.Link(latin1)))));

        Listing(parser).ShouldBe("""{"version":1,"root":{"type":"directory","entries":{"caf\\xE9":{"type":"symlink","target":"caf\\xE9"}}}}""");
    }

    [Fact]
    public void Names_with_quotes_and_control_characters_are_escaped_in_the_listing()
    {
        using var parser = Parse(Nars.Archive(Nars.Folder(("a\"\\\n", Nars.Plain("")))));
        using var listing = JsonDocument.Parse(parser.Listing.ToArray());

        listing.RootElement.GetProperty("root").GetProperty("entries").TryGetProperty("a\"\\\n", out _).ShouldBeTrue();
    }

    [Theory]
    [InlineData(255, true)]
    [InlineData(256, false)]
    public void Names_have_at_most_255_bytes(int length, bool accepted) =>
        Accepts(Nars.Archive(Nars.Folder((new string('n', length), Nars.Plain(""))))).ShouldBe(accepted);

    [Theory]
    [InlineData(0, false)]
    [InlineData(4_095, true)]
    [InlineData(4_096, false)]
    public void Targets_have_1_to_4095_bytes(int length, bool accepted) => Accepts(Nars.Archive(Nars.Link(new string('t', length)))).ShouldBe(accepted);

    [Theory]
    [InlineData(1_024, true)]
    [InlineData(1_025, false)]
    public void Folders_are_nested_at_most_1024_deep(int depth, bool accepted)
    {
        // Far deeper would be no problem either: nothing here recurses.
        var name = new string('d', 255);
        var open = Enumerable.Repeat((object[])["(", "type", "directory", "entry", "(", "name", name, "node"], depth - 1).SelectMany(token => token);
        var close = Enumerable.Repeat((object[])[")", ")"], depth - 1).SelectMany(token => token);

        Accepts(Nars.Archive([.. open, .. Nars.Folder(), .. close])).ShouldBe(accepted);
    }

    [Fact]
    public void Entries_are_limited_to_a_million()
    {
        // One entry's bytes, with another number written into its name each time.
        var entry = Nars.Tokens("entry", "(", "name", "0000000", "node", "(", "type", "regular", ")", ")");
        var name = entry.AsMemory(entry.AsSpan().IndexOf("0000000"u8), 7);
        using var parser = new NarParser();
        parser.Append(Nars.Archive("(", "type", "directory"));

        var error = Should.Throw<NarFormatException>(() =>
        {
            for (var i = 0; i <= NarParser.MaxEntries; i++)
            {
                Utf8Formatter.TryFormat(i, name.Span, out _, new StandardFormat('D', 7));
                parser.Append(entry);
            }
        });

        error.Message.ShouldStartWith("The archive has more than 1,000,000 entries");
        parser.Entries.ShouldBe(1_000_001);
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData((1UL << 62) + 1)]
    public void Lengths_that_no_disk_holds_are_refused(ulong length)
    {
        var nar = Nars.Archive("(", "type", "regular", "contents");
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);

        Fault([.. nar, .. bytes]).ShouldStartWith("A file is larger than any disk");
    }

    [Fact]
    public void A_huge_name_is_refused_by_its_length_alone() =>
        Fault([.. Nars.Archive("(", "type", "directory", "entry", "(", "name"), 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])
            .ShouldStartWith("A file name has 4294967295 bytes; at most 255 are allowed");

    [Fact]
    public void Padding_has_to_be_zero()
    {
        var afterKeyword = Nars.Archive(Nars.Plain("hello"));
        var afterContents = afterKeyword.ToArray();
        afterKeyword[8 + 13] = 1;
        afterContents[96 + 7] = 1;

        Fault(afterKeyword).ShouldStartWith("The padding after a string is not zero");
        Fault(afterContents).ShouldStartWith("The padding after a string is not zero");
    }

    [Theory]
    [InlineData("Expected 'nix-archive-1'", "nix-archive-2")]
    [InlineData("Expected '('", "nix-archive-1", ")")]
    [InlineData("Expected 'type'", "nix-archive-1", "(", "contents")]
    [InlineData("Expected 'regular', 'symlink' or 'directory', found 'fifo'", "nix-archive-1", "(", "type", "fifo")]
    [InlineData("Expected 'executable', 'contents' or ')'", "nix-archive-1", "(", "type", "regular", "target")]
    [InlineData("Expected an empty string", "nix-archive-1", "(", "type", "regular", "executable", "1")]
    [InlineData("Expected 'contents' or ')'", "nix-archive-1", "(", "type", "regular", "executable", "", "executable")]
    [InlineData("Expected ')'", "nix-archive-1", "(", "type", "regular", "contents", "", "contents")]
    [InlineData("Expected 'target'", "nix-archive-1", "(", "type", "symlink", ")")]
    [InlineData("Expected ')'", "nix-archive-1", "(", "type", "symlink", "target", "t", "target")]
    [InlineData("Expected 'entry' or ')'", "nix-archive-1", "(", "type", "directory", "name")]
    [InlineData("Expected '('", "nix-archive-1", "(", "type", "directory", "entry", "name")]
    [InlineData("Expected 'name'", "nix-archive-1", "(", "type", "directory", "entry", "(", "node")]
    [InlineData("Expected 'node'", "nix-archive-1", "(", "type", "directory", "entry", "(", "name", "a", "name")]
    [InlineData("Expected ')'", "nix-archive-1", "(", "type", "directory", "entry", "(", "name", "a", "node", "(", "type", "regular", ")", "entry")]
    [InlineData("Expected 'type', found a string of 14 bytes", "nix-archive-1", "(", "fourteen bytes")]
    public void Any_other_grammar_is_refused(string expected, params string[] tokens) => Fault(Nars.Tokens(tokens)).ShouldStartWith(expected);

    [Fact]
    public void Anything_but_a_nar_is_refused_at_its_first_bytes() => Fault("\u0028\u00b5/\u00fd a zstd frame, say"u8.ToArray())
        .ShouldContain("is the data compressed in another way than declared?");

    [Fact]
    public void Large_contents_are_passed_over_in_pieces()
    {
        var contents = new byte[1_000_001];
        new Random(1).NextBytes(contents);
        using var parser = Parse(Nars.Archive(Nars.Plain(contents)), 65_536);

        parser.RootContents.ShouldBe((96, contents.Length));
    }

    [Fact]
    public void The_listing_is_not_to_be_had_before_the_end()
    {
        using var parser = new NarParser();
        parser.Append(Nars.MadeByNix.AsSpan(0, 100));

        Should.Throw<InvalidOperationException>(() => parser.Listing);
    }

    [Fact]
    public async Task A_listing_of_many_pieces_is_the_same_as_a_stream_and_as_an_array()
    {
        var entries = Enumerable.Range(10_000, 5_000).Select(i => ((object)$"file-{i}", Nars.Plain(""))).ToArray();
        using var parser = Parse(Nars.Archive(Nars.Folder(entries)), 4_096);
        var stream = new MemoryStream();

        await parser.Listing.WriteToAsync(stream, TestContext.Current.CancellationToken);

        parser.Listing.Length.ShouldBeGreaterThan(200_000);
        stream.ToArray().AsSpan().SequenceEqual(parser.Listing.ToArray()).ShouldBeTrue();
        using var json = JsonDocument.Parse(stream.ToArray());
        json.RootElement.GetProperty("root").GetProperty("entries").EnumerateObject().Count().ShouldBe(5_000);
    }

    private static string Listing(NarParser parser) => Encoding.UTF8.GetString(parser.Listing.ToArray());

    private static NarParser Parse(byte[] nar, int step = int.MaxValue)
    {
        var parser = new NarParser();
        try
        {
            for (var position = 0; position < nar.Length; position += Math.Min(step, nar.Length))
            {
                parser.Append(nar.AsSpan(position, Math.Min(step, nar.Length - position)));
            }

            parser.Complete();
            return parser;
        }
        catch
        {
            parser.Dispose();
            throw;
        }
    }

    private static bool Accepts(byte[] nar)
    {
        try
        {
            Parse(nar).Dispose();
            return true;
        }
        catch (NarFormatException)
        {
            return false;
        }
    }

    private static string Fault(byte[] nar)
    {
        // The same fault at the same place, however the bytes arrive.
        var whole = Should.Throw<NarFormatException>(() => Parse(nar));
        var byByte = Should.Throw<NarFormatException>(() => Parse(nar, 1));
        byByte.Message.ShouldBe(whole.Message);
        return whole.Message;
    }
}
