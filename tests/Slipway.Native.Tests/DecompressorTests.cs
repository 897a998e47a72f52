using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Shouldly;
using Xunit;

namespace Slipway.Native.Tests;

public sealed class DecompressorTests
{
    private static readonly DecompressionLimits Limits = DecompressionLimits.Default;

    public static TheoryData<CompressionFormat> Compressed => [CompressionFormat.Zstd, CompressionFormat.Xz, CompressionFormat.Bzip2];

    [Theory]
    [MemberData(nameof(Compressed))]
    public void Decodes_a_file_made_by_the_usual_tools(CompressionFormat format)
    {
        using var decompressor = Decompressor.Create(format, Limits);

        Encoding.ASCII.GetString(Codecs.Decode(decompressor, Sample(format))).ShouldBe(Codecs.Text);

        decompressor.AtEnd.ShouldBeTrue();
    }

    [Theory]
    [MemberData(nameof(Compressed))]
    public void Decodes_the_same_byte_by_byte(CompressionFormat format)
    {
        using var decompressor = Decompressor.Create(format, Limits);

        Encoding.ASCII.GetString(Codecs.Decode(decompressor, Sample(format), inputStep: 1, outputStep: 1)).ShouldBe(Codecs.Text);

        decompressor.AtEnd.ShouldBeTrue();
    }

    [Theory]
    [MemberData(nameof(Compressed))]
    public void Decodes_streams_one_after_another(CompressionFormat format)
    {
        using var decompressor = Decompressor.Create(format, Limits);
        byte[] twice = [.. Sample(format), .. Sample(format)];

        Encoding.ASCII.GetString(Codecs.Decode(decompressor, twice)).ShouldBe(Codecs.Text + Codecs.Text);

        decompressor.AtEnd.ShouldBeTrue();
    }

    [Theory]
    [MemberData(nameof(Compressed))]
    public void Every_truncation_is_noticed(CompressionFormat format)
    {
        var whole = Sample(format);
        for (var length = 0; length < whole.Length; length++)
        {
            using var decompressor = Decompressor.Create(format, Limits);
            Codecs.Decode(decompressor, whole.AsSpan(0, length));
            decompressor.AtEnd.ShouldBeFalse($"{length} of {whole.Length} bytes");
        }
    }

    [Theory]
    [MemberData(nameof(Compressed))]
    public void Garbage_after_the_last_frame_is_refused(CompressionFormat format)
    {
        using var decompressor = Decompressor.Create(format, Limits);
        byte[] input = [.. Sample(format), .. "garbage"u8];

        Should.Throw<InvalidDataException>(() => Codecs.Decode(decompressor, input)).Message.ShouldStartWith("Garbage after the last");
    }

    [Theory]
    [MemberData(nameof(Compressed))]
    public void Data_of_another_format_is_refused(CompressionFormat format)
    {
        using var decompressor = Decompressor.Create(format, Limits);

        Should.Throw<InvalidDataException>(() => Codecs.Decode(decompressor, "nix-archive-1"u8)).Message.ShouldStartWith("Not ");
    }

    [Theory]
    [MemberData(nameof(Compressed))]
    public void A_flipped_byte_never_makes_a_complete_file_with_other_content(CompressionFormat format)
    {
        var refused = 0;
        for (var position = 0; position < Sample(format).Length; position++)
        {
            var damaged = Sample(format).ToArray();
            damaged[position] ^= 0x41;
            using var decompressor = Decompressor.Create(format, Limits);
            try
            {
                var decoded = Codecs.Decode(decompressor, damaged);
                (decompressor.AtEnd && Encoding.ASCII.GetString(decoded) != Codecs.Text).ShouldBeFalse($"byte {position} went unnoticed");
            }
            catch (Exception e) when (e is InvalidDataException or DecompressionLimitException)
            {
                refused++;
            }
        }

        refused.ShouldBeGreaterThan(Sample(format).Length / 2);
    }

    [Fact]
    public void A_zstd_window_over_the_limit_is_refused()
    {
        // A frame header with a window of 2^28 and one empty last block.
        byte[] frame = [0x28, 0xB5, 0x2F, 0xFD, 0x00, (28 - 10) << 3, 0x01, 0x00, 0x00];
        using var strict = Decompressor.Create(CompressionFormat.Zstd, Limits);
        using var generous = Decompressor.Create(CompressionFormat.Zstd, Limits with { MaxWindowLog = 28 });

        Should.Throw<DecompressionLimitException>(() => Codecs.Decode(strict, frame));
        Codecs.Decode(generous, frame).ShouldBeEmpty();
        generous.AtEnd.ShouldBeTrue();
    }

    [Fact]
    public void An_xz_dictionary_over_the_limit_is_refused()
    {
        using var strict = Decompressor.Create(CompressionFormat.Xz, Limits);
        using var generous = Decompressor.Create(CompressionFormat.Xz, Limits with { MaxMemoryBytes = 300L << 20 });

        Should.Throw<DecompressionLimitException>(() => Codecs.Decode(strict, Codecs.XzWithHugeDictionary));
        Encoding.ASCII.GetString(Codecs.Decode(generous, Codecs.XzWithHugeDictionary)).ShouldBe(Codecs.Text);
    }

    [Fact]
    public void Formats_from_before_zstd_1_are_refused_by_their_first_byte()
    {
        using var decompressor = Decompressor.Create(CompressionFormat.Zstd, Limits);

        Should.Throw<InvalidDataException>(() => decompressor.Decompress([0x27, 0xB5, 0x2F, 0xFD, 0x10], new byte[100]));
    }

    [Fact]
    public void Skippable_zstd_frames_are_passed_over()
    {
        byte[] skippable = [0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        byte[] input = [.. skippable, .. Sample(CompressionFormat.Zstd), .. skippable];
        using var decompressor = Decompressor.Create(CompressionFormat.Zstd, Limits);

        Encoding.ASCII.GetString(Codecs.Decode(decompressor, input, inputStep: 1)).ShouldBe(Codecs.Text);

        decompressor.AtEnd.ShouldBeTrue();
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(3, false)]
    [InlineData(4, true)]
    [InlineData(8, true)]
    public void Xz_stream_padding_comes_in_fours(int zeros, bool complete)
    {
        using var decompressor = Decompressor.Create(CompressionFormat.Xz, Limits);
        byte[] input = [.. Codecs.Xz, .. new byte[zeros]];

        Codecs.Decode(decompressor, input, inputStep: 3);

        decompressor.AtEnd.ShouldBe(complete);
    }

    [Fact]
    public void Xz_streams_with_padding_between_them_are_one_file()
    {
        using var decompressor = Decompressor.Create(CompressionFormat.Xz, Limits);
        byte[] input = [.. Codecs.Xz, 0, 0, 0, 0, .. Codecs.Xz];

        Encoding.ASCII.GetString(Codecs.Decode(decompressor, input)).ShouldBe(Codecs.Text + Codecs.Text);
    }

    [Fact]
    public void Xz_padding_of_another_length_between_streams_is_refused()
    {
        using var decompressor = Decompressor.Create(CompressionFormat.Xz, Limits);
        byte[] input = [.. Codecs.Xz, 0, 0, 0, .. Codecs.Xz];

        Should.Throw<InvalidDataException>(() => Codecs.Decode(decompressor, input));
    }

    [Fact]
    public void A_bomb_comes_out_in_pieces_no_larger_than_the_room_given()
    {
        using var decompressor = Decompressor.Create(CompressionFormat.Bzip2, Limits);

        var first = decompressor.Decompress(Codecs.Bzip2OfZeros, new byte[1000]);

        first.Written.ShouldBe(1000);
        decompressor.AtEnd.ShouldBeFalse();
        Codecs.Decode(decompressor, Codecs.Bzip2OfZeros.AsSpan(first.Consumed)).Length.ShouldBe(3_000_000 - 1000);
        decompressor.AtEnd.ShouldBeTrue();
    }

    [Fact]
    public void Stored_bytes_pass_through_and_are_always_complete()
    {
        using var decompressor = Decompressor.Create(CompressionFormat.None, Limits);
        decompressor.AtEnd.ShouldBeTrue();

        var step = decompressor.Decompress("abc"u8, new byte[2]);

        step.ShouldBe(new CodecResult(2, 2, FrameEnded: false));
    }

    [Fact]
    public void A_disposed_decoder_refuses_to_work()
    {
        foreach (var format in new[] { CompressionFormat.Zstd, CompressionFormat.Xz, CompressionFormat.Bzip2 })
        {
            var decompressor = Decompressor.Create(format, Limits);
            decompressor.Decompress(Sample(format).AsSpan(0, 10), new byte[10]);
            decompressor.Dispose();
            decompressor.Dispose();
            Should.Throw<ObjectDisposedException>(() => decompressor.Decompress(Sample(format).AsSpan(10), new byte[10]));
        }
    }

    [Fact]
    public void Whatever_zstd_compresses_it_decompresses_in_any_steps() => Prop.ForAll(
        ArbMap.Default.ArbFor<byte[]>(),
        Gen.Choose(1, 300).ToArbitrary(),
        Gen.Choose(1, 300).ToArbitrary(),
        (content, inputStep, outputStep) =>
        {
            using var decompressor = Decompressor.Create(CompressionFormat.Zstd, Limits);
            var decoded = Codecs.Decode(decompressor, Codecs.Zstd(content), inputStep, outputStep);
            return decoded.AsSpan().SequenceEqual(content) && decompressor.AtEnd;
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData(1, 0)]
    [InlineData(9, 0)]
    [InlineData(3, 2)]
    public void Large_content_survives_compression(int level, int workers)
    {
        var content = new byte[5_000_000];
        new Random(7).NextBytes(content.AsSpan(0, 2_000_000));
        using var decompressor = Decompressor.Create(CompressionFormat.Zstd, Limits);

        var compressed = Codecs.Zstd(content, level, workers);

        compressed.Length.ShouldBeLessThan(2_010_000);
        Codecs.Decode(decompressor, compressed).AsSpan().SequenceEqual(content).ShouldBeTrue();
    }

    [Fact]
    public void One_compressor_makes_one_frame_after_another()
    {
        using var compressor = new ZstdCompressor(3);
        var output = new byte[1000];
        var first = compressor.Compress("one"u8, output, last: true);
        var second = compressor.Compress("two"u8, output.AsSpan(first.Written), last: true);
        using var decompressor = Decompressor.Create(CompressionFormat.Zstd, Limits);

        (first.FrameEnded && second.FrameEnded).ShouldBeTrue();
        Codecs.Decode(decompressor, output.AsSpan(0, first.Written + second.Written)).ShouldBe("onetwo"u8.ToArray());
    }

    private static byte[] Sample(CompressionFormat format) => format switch
    {
        CompressionFormat.Zstd => Codecs.Zstd(Encoding.ASCII.GetBytes(Codecs.Text)),
        CompressionFormat.Xz => Codecs.Xz,
        _ => Codecs.Bzip2,
    };
}
