using Microsoft.Extensions.Primitives;

namespace Slipway.Grpc.Tests;

public sealed class WireTests
{
    [Theory]
    [InlineData("1H", 3600.0)]
    [InlineData("99999999H", 359_999_996_400.0)]
    [InlineData("2M", 120.0)]
    [InlineData("10S", 10.0)]
    [InlineData("250m", 0.25)]
    [InlineData("1000u", 0.001)]
    [InlineData("1000000n", 0.001)]
    public void A_timeout_is_read(string text, double seconds)
    {
        GrpcTimeout.TryParse(text, out var timeout).ShouldBeTrue();
        timeout.TotalSeconds.ShouldBe(seconds, 1e-9);
    }

    [Theory]
    [InlineData(0.0000001, "1u")]
    [InlineData(1.5, "1500000u")]
    [InlineData(100, "100000m")]
    [InlineData(1e9, "16666667M")]
    public void A_timeout_is_written_rounded_up(double seconds, string expected)
    {
        var text = GrpcTimeout.Format(TimeSpan.FromSeconds(seconds));
        text.ShouldBe(expected);
        GrpcTimeout.TryParse(text, out var back).ShouldBeTrue();
        back.ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(seconds));
    }

    [Fact]
    public void A_message_travels_as_ascii()
    {
        PercentEncoding.Encode("100 % 'grün'\n").ShouldBe("100 %25 'gr%C3%BCn'%0A");
        PercentEncoding.Decode("100 %25 'gr%C3%BCn'%0A").ShouldBe("100 % 'grün'\n");
        PercentEncoding.Decode("50% off, %zz").ShouldBe("50% off, %zz");
        var long1 = PercentEncoding.Encode(new string('ü', 5000));
        PercentEncoding.Decode(long1).ShouldBe(new string('ü', 1000));
    }

    [Fact]
    public void Binary_metadata_are_read_with_or_without_padding_and_joined()
    {
        BinaryMetadata.DecodeAll(new StringValues(["AQ==,AQ", "AQID"])).ShouldBe([[1], [1], [1, 2, 3]]);
        BinaryMetadata.TryDecodeFirst("_not base64_", out _).ShouldBeFalse();
        BinaryMetadata.TryDecodeFirst("A", out _).ShouldBeFalse();
        BinaryMetadata.Encode([1]).ShouldBe("AQ");
    }

    [Fact]
    public void A_rich_status_too_large_for_a_header_goes_without_details()
    {
        var headers = new Microsoft.AspNetCore.Http.HeaderDictionary();
        StatusTrailers.Write(headers, GrpcStatus.FailedPrecondition, "m", [GrpcDetail.PreconditionFailure(Enumerable.Repeat(("MISSING", new string('x', 100), ""), 100))]);
        headers.ContainsKey("grpc-status-details-bin").ShouldBeFalse();
        headers["grpc-status"].ToString().ShouldBe("9");
        StatusTrailers.Write(headers, GrpcStatus.FailedPrecondition, "m", [GrpcDetail.PreconditionFailure([("MISSING", "blobs/a/1", "")])]);
        BinaryMetadata.TryDecodeFirst(headers["grpc-status-details-bin"], out var bytes).ShouldBeTrue();
        StatusTrailers.DecodeDetails(bytes).ShouldHaveSingleItem().TypeUrl.ShouldBe("type.googleapis.com/google.rpc.PreconditionFailure");
    }
}
