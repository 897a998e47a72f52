using Google.Protobuf;
using Shouldly;
using Xunit;
using Protos = Slipway.BuildCache.Wire.Protos;
using RequestMetadata = Slipway.BuildCache.Wire.RequestMetadata;

namespace Slipway.BuildCache.Tests.Reapi;

public sealed class RequestMetadataTests
{
    private static readonly Protos.RequestMetadata Message = new()
    {
        ToolDetails = new Protos.ToolDetails { ToolName = "bazel", ToolVersion = "7.7.1" },
        ActionId = "abc",
        ToolInvocationId = "inv",
        CorrelatedInvocationsId = "corr",
        ActionMnemonic = "CppCompile",
        TargetId = "//a:b",
        ConfigurationId = "k8",
    };

    [Fact]
    public void Reads_base64_with_and_without_padding_in_either_alphabet_and_the_last_of_many()
    {
        var padded = Convert.ToBase64String(Message.ToByteArray());
        foreach (var header in (string[])[padded, padded.TrimEnd('='), padded.Replace('+', '-').Replace('/', '_'), $"AAAA,{padded}", $"AAAA, {padded}"])
        {
            RequestMetadata.Parse(header).ShouldBe(new RequestMetadata("bazel", "7.7.1", "abc", "inv", "corr", "CppCompile", "//a:b", "k8"));
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("!!!")]
    [InlineData("A")]
    [InlineData("/////w==")]
    public void What_cannot_be_read_is_as_good_as_absent(string? header) => RequestMetadata.Parse(header).ShouldBe(RequestMetadata.None);

    [Theory]
    [InlineData("7.7.1", 7)]
    [InlineData("10.0.0-pre.20260101.1", 10)]
    [InlineData("", null)]
    [InlineData("no_version", null)]
    public void The_major_version_is_the_first_number(string version, int? major) =>
        (RequestMetadata.None with { ToolVersion = version }).MajorVersion.ShouldBe(major);
}
