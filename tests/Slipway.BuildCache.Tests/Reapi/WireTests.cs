using System.Buffers;
using System.Text;
using Google.Protobuf;
using Shouldly;
using Slipway.BuildCache.ByteStream;
using Slipway.BuildCache.Cas;
using Slipway.BuildCache.Wire;
using Slipway.Content;
using Slipway.Native;
using Xunit;
using WriteRequest = Slipway.BuildCache.Wire.Protos.WriteRequest;

namespace Slipway.BuildCache.Tests.Reapi;

public sealed class WireTests
{
    private const string Hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData("uploads/u/blobs/" + Hash + "/5", "", "u", false, false)]
    [InlineData("a/uploads/u/blobs/" + Hash + "/5", "a", "u", false, false)]
    [InlineData("a/b/c/uploads/u-1/compressed-blobs/zstd/" + Hash + "/5/meta/data", "a/b/c", "u-1", true, false)]
    [InlineData("a/b/uploads/u/blobs/blake3/" + Hash + "/5", "a/b", "u", false, true)]
    [InlineData("a/b/uploads/u/compressed-blobs/zstd/blake3/" + Hash + "/5", "a/b", "u", true, true)]
    [InlineData("a/uploads/u/blobs/sha256/" + Hash + "/5", "a", "u", false, false)]
    public void A_written_name_is_taken_apart(string name, string instance, string upload, bool compressed, bool blake3)
    {
        var bytes = Encoding.UTF8.GetBytes(name);
        var parsed = ResourceName.ParseWrite(bytes);
        Encoding.UTF8.GetString(parsed.Instance(bytes)).ShouldBe(instance);
        Encoding.UTF8.GetString(parsed.Upload(bytes)).ShouldBe(upload);
        parsed.IsCompressed.ShouldBe(compressed);
        parsed.Digest.ShouldBe(new BlobDigest(new BlobKey(blake3 ? BlobKind.Blake3 : BlobKind.Sha256, Digest.Parse(Hash)), 5));
    }

    [Theory]
    [InlineData("")]
    [InlineData("uploads")]
    [InlineData("uploads/u")]
    [InlineData("uploads/u/blobs")]
    [InlineData("uploads//blobs/" + Hash + "/5")]
    [InlineData("uploads/u/blobs/" + Hash)]
    [InlineData("uploads/u/blobs/" + Hash + "/")]
    [InlineData("uploads/u/blobs/" + Hash + "/9999999999999999999")]
    [InlineData("uploads/u/things/" + Hash + "/5")]
    [InlineData("blobs/uploads/u/blobs/" + Hash + "/5")]
    [InlineData("a/operations/uploads/u/blobs/" + Hash + "/5")]
    public void What_is_no_written_name_is_refused(string name) => Should.Throw<WireFormatException>(() => ResourceName.ParseWrite(Encoding.UTF8.GetBytes(name)));

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(20_000)]
    public void A_message_is_read_the_same_however_it_is_cut(int size)
    {
        var message = new WriteRequest { ResourceName = "a/name", WriteOffset = 1L << 40, FinishWrite = true, Data = ByteString.CopyFrom(ReapiClient.Bytes(size)) };
        var bytes = message.ToByteArray();
        foreach (var cut in (int[])[bytes.Length, 1, 3, 12, 4096])
        {
            var parsed = WriteMessage.Parse(Segment.Cut(bytes, cut));
            Encoding.UTF8.GetString(parsed.ResourceName.Span).ShouldBe("a/name");
            (parsed.Offset, parsed.Finish).ShouldBe((1L << 40, true));
            parsed.Data.ToArray().ShouldBe(message.Data.ToByteArray());
        }
    }

    [Fact]
    public void Data_need_not_be_the_last_field()
    {
        byte[] bytes = [.. new WriteRequest { Data = ByteString.CopyFrom(ReapiClient.Bytes(9000)) }.ToByteArray(), .. new WriteRequest { ResourceName = "late", FinishWrite = true }.ToByteArray()];
        var parsed = WriteMessage.Parse(Segment.Cut(bytes, 4096));
        (Encoding.UTF8.GetString(parsed.ResourceName.Span), parsed.Finish, parsed.Data.Length).ShouldBe(("late", true, 9000));
    }

    [Fact]
    public void Noise_is_a_fault_of_the_format_and_nothing_else()
    {
        for (var seed = 0; seed < 3000; seed++)
        {
            var noise = ReapiClient.Bytes(seed % 90, seed);
            try
            {
                WriteMessage.Parse(Segment.Cut(noise, 1 + seed % 20));
                BlobDigest.Read(noise, BlobKind.Sha256);
            }
            catch (WireFormatException)
            {
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(255)]
    [InlineData(256)]
    [InlineData(65_535 + 256)]
    [InlineData(65_536 + 256)]
    [InlineData(131_072)]
    [InlineData(131_073)]
    [InlineData(400_000)]
    public void A_raw_frame_is_zstd(int size)
    {
        var bytes = ReapiClient.Bytes(size);
        var frame = new byte[RawZstdFrame.Size(size)];
        var at = RawZstdFrame.WriteHeader(frame, size);
        at.ShouldBe(RawZstdFrame.HeaderSize(size));
        for (var from = 0; ;)
        {
            var length = Math.Min(size - from, RawZstdFrame.BlockSize);
            RawZstdFrame.WriteBlockHeader(frame.AsSpan(at), length, from + length == size);
            bytes.AsSpan(from, length).CopyTo(frame.AsSpan(at + RawZstdFrame.BlockHeaderSize));
            at += RawZstdFrame.BlockHeaderSize + length;
            from += length;
            if (from == size)
            {
                break;
            }
        }

        at.ShouldBe(frame.Length);
        ReapiClient.Unzstd(frame, size).ShouldBe(bytes);
        // The streaming decoder has its own idea of windows.
        using var decoder = Decompressor.Create(CompressionFormat.Zstd, DecompressionLimits.Default);
        var output = new byte[size + 1];
        decoder.Decompress(frame, output).Written.ShouldBe(size);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public static ReadOnlySequence<byte> Cut(byte[] bytes, int size)
        {
            var first = new Segment { Memory = bytes.AsMemory(0, Math.Min(size, bytes.Length)) };
            var last = first;
            for (var at = size; at < bytes.Length; at += size)
            {
                var next = new Segment { Memory = bytes.AsMemory(at, Math.Min(size, bytes.Length - at)), RunningIndex = at };
                last.Next = next;
                last = next;
            }

            return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
        }
    }
}
