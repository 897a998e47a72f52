using System.Text;

namespace Slipway.Resp.Tests;

public sealed class Parsing
{
    private static readonly RespOptions Small = new()
    {
        Url = "redis://unused",
        MaxReplyBytes = 1000,
        MaxReplyElements = 20,
        MaxReplyDepth = 3,
    };

    [Theory]
    [InlineData("+OK\r\n", "OK", RespKind.SimpleString)]
    [InlineData("+\r\n", "", RespKind.SimpleString)]
    [InlineData("-ERR no\r\n", "ERR no", RespKind.Error)]
    [InlineData("!6\r\nERR no\r\n", "ERR no", RespKind.Error)]
    [InlineData(":-9223372036854775808\r\n", "-9223372036854775808", RespKind.Integer)]
    [InlineData("$0\r\n\r\n", "", RespKind.BulkString)]
    [InlineData("$4\r\na\r\nb\r\n", "a\r\nb", RespKind.BulkString)]
    [InlineData("$-1\r\n", "(null)", RespKind.Null)]
    [InlineData("*-1\r\n", "(null)", RespKind.Null)]
    [InlineData("_\r\n", "(null)", RespKind.Null)]
    [InlineData("#t\r\n", "true", RespKind.Boolean)]
    [InlineData(",1.5\r\n", "1.5", RespKind.Double)]
    [InlineData(",-inf\r\n", "-Infinity", RespKind.Double)]
    [InlineData("(3492890328409238509324850943850943825024385\r\n", "3492890328409238509324850943850943825024385", RespKind.BigNumber)]
    [InlineData("=7\r\ntxt:abc\r\n", "abc", RespKind.Verbatim)]
    [InlineData("*0\r\n", "Array[]", RespKind.Array)]
    [InlineData("*2\r\n*1\r\n:1\r\n$1\r\nx\r\n", "Array[Array[1], x]", RespKind.Array)]
    [InlineData("%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n", "Map[a, Set[1, 2]]", RespKind.Map)]
    [InlineData(">2\r\n+message\r\n_\r\n", "Push[message, (null)]", RespKind.Push)]
    [InlineData("|1\r\n+ttl\r\n:5\r\n+OK\r\n", "OK", RespKind.SimpleString)]
    [InlineData("*2\r\n|1\r\n+ttl\r\n:5\r\n:1\r\n|0\r\n:2\r\n", "Array[1, 2]", RespKind.Array)]
    public void Every_type_is_understood_whole_and_in_pieces(string wire, string shown, RespKind kind)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(wire + wire);
        for (int piece = 1; piece <= bytes.Length; piece++)
        {
            var parser = new RespParser(Small);
            List<RespValue> values = ReadAll(parser, bytes, piece);

            values.Count.ShouldBe(2, $"in pieces of {piece}");
            values.ShouldAllBe(value => value.ToString() == shown && value.Kind == kind);
        }
    }

    [Theory]
    [InlineData("?\r\n")]
    [InlineData("OK\r\n")]
    [InlineData("+OK\n")]
    [InlineData(":\r\n")]
    [InlineData(":1a\r\n")]
    [InlineData(":+1\r\n")]
    [InlineData(":9223372036854775808\r\n")]
    [InlineData("$-2\r\n")]
    [InlineData("!-1\r\n")]
    [InlineData("*-2\r\n")]
    [InlineData("%-1\r\n")]
    [InlineData("$?\r\n")]
    [InlineData("*?\r\n")]
    [InlineData("$3\r\nabcd\r\n")]
    [InlineData("#x\r\n")]
    [InlineData("_x\r\n")]
    [InlineData(",abc\r\n")]
    [InlineData("=2\r\nab\r\n")]
    [InlineData("*1\r\n>1\r\n+message\r\n")]
    [InlineData("$9223372036854775807\r\n")]
    [InlineData("$1001\r\n")]
    [InlineData("*21\r\n")]
    [InlineData("*2147483647\r\n")]
    [InlineData("%9223372036854775807\r\n")]
    [InlineData("*1\r\n*1\r\n*1\r\n*1\r\n")]
    public void Malformed_or_oversized_replies_are_refused(string wire)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(wire);

        Should.Throw<RespProtocolException>(() => ReadAll(new RespParser(Small), bytes, bytes.Length));
        Should.Throw<RespProtocolException>(() => ReadAll(new RespParser(Small), bytes, 1));
    }

    [Fact]
    public void Many_small_elements_together_are_bounded()
    {
        // Each aggregate is within the limit, their sum is not.
        string row = "*9\r\n" + string.Concat(Enumerable.Repeat(":1\r\n", 9));
        byte[] bytes = Encoding.Latin1.GetBytes("*3\r\n" + row + row + row);

        Should.Throw<RespProtocolException>(() => ReadAll(new RespParser(Small), bytes, bytes.Length)).Message.ShouldContain("elements");
    }

    [Fact]
    public void Many_small_strings_together_are_bounded()
    {
        byte[] bytes = Encoding.Latin1.GetBytes("*3\r\n" + string.Concat(Enumerable.Repeat("$400\r\n" + new string('x', 400) + "\r\n", 3)));

        Should.Throw<RespProtocolException>(() => ReadAll(new RespParser(Small), bytes, 7)).Message.ShouldContain("bytes");
    }

    [Fact]
    public void A_line_without_end_is_bounded()
    {
        var roomy = Small with { MaxReplyBytes = int.MaxValue };
        byte[] bytes = Encoding.Latin1.GetBytes("+" + new string('x', 70_000));

        Should.Throw<RespProtocolException>(() => ReadAll(new RespParser(roomy), bytes, 1000)).Message.ShouldContain("line");
    }

    [Fact]
    public void Limits_count_per_reply_and_not_per_connection()
    {
        byte[] bytes = Encoding.Latin1.GetBytes(string.Concat(Enumerable.Repeat("$400\r\n" + new string('x', 400) + "\r\n", 30)));

        ReadAll(new RespParser(Small), bytes, 64).Count.ShouldBe(30);
    }

    [Theory]
    [InlineData("redis://h", "redis://h:6379/0")]
    [InlineData("redis://h:1/2", "redis://h:1/2")]
    [InlineData("redis://:secret@h/", "redis://h:6379/0")]
    [InlineData("redis://u:p%40ss@[::1]:7/3", "redis://[::1]:7/3")]
    [InlineData("rediss://u:secret@h", "rediss://h:6379/0")]
    [InlineData("unix:///run/redis.sock", "unix:///run/redis.sock?db=0")]
    [InlineData("unix://u:secret@/run/r%20s.sock?db=4", "unix:///run/r s.sock?db=4")]
    [InlineData("redis+sentinel://u:secret@a,b:1,[::1]/mine/3", "redis+sentinel://a:26379,b:1,[::1]:26379/mine/3")]
    [InlineData("rediss+sentinel://a/mine", "rediss+sentinel://a:26379/mine/0")]
    [InlineData("redis+cluster://u:secret@a:7000,b", "redis+cluster://a:7000,b:6379")]
    [InlineData("rediss+cluster://a/", "rediss+cluster://a:6379")]
    public void Urls_are_understood_and_shown_without_secrets(string url, string shown) =>
        RespUrl.Parse(url).ToString().ShouldBe(shown);

    [Theory]
    [InlineData("localhost:6379", "redis://")]
    [InlineData("redis+tls://secret@h", "rediss://")]
    [InlineData("redis://", "host")]
    [InlineData("redis://secret@h", "user:password@")]
    [InlineData("redis://h:0", "port")]
    [InlineData("redis://h/x", "database")]
    [InlineData("redis://a,b", "redis+cluster://")]
    [InlineData("redis+sentinel://a,b", "mymaster")]
    [InlineData("redis+sentinel://a/mine/x", "database")]
    [InlineData("redis+cluster://a,,b", "host")]
    [InlineData("redis+cluster://a/1", "databases")]
    [InlineData("unix://relative", "absolute")]
    [InlineData("unix:///s?dbase=1", "?db=")]
    public void Bad_urls_are_explained_without_repeating_them(string url, string cure)
    {
        RespUrl.TryParse(url, out _, out string fault).ShouldBeFalse();

        fault.ShouldContain(cure);
        fault.ShouldNotContain("secret");
    }

    [Fact]
    public void A_socket_path_that_the_kernel_would_cut_is_refused() =>
        RespUrl.TryParse("unix:///" + new string('x', 107), out _, out _).ShouldBeFalse();

    private static List<RespValue> ReadAll(RespParser parser, byte[] bytes, int piece)
    {
        var values = new List<RespValue>();
        for (int start = 0; start < bytes.Length; start += piece)
        {
            ReadOnlySpan<byte> input = bytes.AsSpan(start, Math.Min(piece, bytes.Length - start));
            while (!input.IsEmpty)
            {
                bool whole = parser.TryRead(input, out int consumed, out RespValue value);
                input = input[consumed..];
                if (whole)
                {
                    values.Add(value);
                }
                else
                {
                    input.IsEmpty.ShouldBeTrue();
                }
            }
        }

        return values;
    }
}
