namespace Slipway.Content.Tests;

public sealed class DigestTests
{
    // SHA-256 of the empty string, FIPS 180-4 example values.
    private const string Empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    [Fact]
    public void Digest_of_nothing_is_the_published_one() => Digest.Of([]).ToString().ShouldBe(Empty);

    [Fact]
    public void Text_form_round_trips() => Digest.Parse(Empty).ShouldBe(Digest.Of([]));

    [Theory]
    [InlineData("")]
    [InlineData("e3b0c4")]
    [InlineData("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855")]
    [InlineData("g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    [InlineData("../0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    [InlineData("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550")]
    public void Text_that_is_no_digest_is_refused(string text)
    {
        Digest.TryParse(text, out _).ShouldBeFalse();
        Should.Throw<FormatException>(() => Digest.Parse(text));
    }

    [Fact]
    public void Bytes_of_the_wrong_length_are_refused() =>
        Should.Throw<ArgumentException>(() => Digest.FromBytes(new byte[31]));
}
