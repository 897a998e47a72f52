using Shouldly;
using Slipway.BuildCache.Namespaces;
using Xunit;

namespace Slipway.BuildCache.Tests.Namespaces;

public sealed class InstanceNameTests
{
    [Theory]
    [InlineData("acme/main", "acme", "acme/main", "")]
    [InlineData("acme/main/release", "acme", "acme/main", "release")]
    [InlineData("acme/main/feature/X_1.2-b", "acme", "acme/main", "feature/X_1.2-b")]
    public void A_name_has_an_org_a_cache_and_what_is_below(string text, string org, string fullName, string sub)
    {
        InstanceName.TryParse(text, out var name).ShouldBeTrue();
        name.Org.ToString().ShouldBe(org);
        name.FullName.ToString().ShouldBe(fullName);
        name.Sub.ToString().ShouldBe(sub);
    }

    [Theory]
    [InlineData("")]
    [InlineData("acme")]
    [InlineData("/main")]
    [InlineData("acme/")]
    [InlineData("acme//main")]
    [InlineData("acme/main/")]
    [InlineData("acme/../main")]
    [InlineData("acme/main/blobs/x")]
    [InlineData("acme/main/compressed-blobs")]
    [InlineData("acme/mäin")]
    [InlineData("acme/main/a b")]
    public void What_no_cache_can_be_called_is_no_name(string text) => InstanceName.TryParse(text, out _).ShouldBeFalse();

    [Fact]
    public void The_longest_name_is_a_name_and_one_more_character_is_not()
    {
        var longest = "acme/main/" + new string('x', InstanceName.LongestName - 10);
        InstanceName.TryParse(longest, out _).ShouldBeTrue();
        InstanceName.TryParse(longest + "x", out _).ShouldBeFalse();
    }
}
