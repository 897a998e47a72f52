using System.Text.RegularExpressions;
using Npgsql;
using Shouldly;
using Microsoft.Extensions.Logging.Abstractions;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class TokenTests
{
    [Fact]
    public void Crc32_gives_the_check_value_of_its_definition() => Crc32.Of("123456789").ShouldBe(0xCBF43926u);

    [Theory]
    [InlineData((int)TokenKind.UserKey, 'u')]
    [InlineData((int)TokenKind.ServiceKey, 's')]
    [InlineData((int)TokenKind.Session, 't')]
    public void Tokens_have_the_documented_form(int kind, char letter)
    {
        var token = Token.New((TokenKind)kind);
        token.Text.ShouldMatch($"^slp_{letter}_[0-9A-Za-z]{{65}}$");
        Token.TryParse(token.Text, out var parsed).ShouldBeTrue();
        parsed.Id.ToString().ShouldBe(token.Id);
        parsed.Kind.ShouldBe((TokenKind)kind);
        var hash = new byte[32];
        parsed.HashSecret(hash);
        hash.ShouldBe(token.SecretHash);
        Regex.Count(Token.New(TokenKind.UserKey).Text, token.Id).ShouldBe(0);
    }

    [Fact]
    public void Every_changed_or_missing_character_is_caught_by_the_checksum()
    {
        var text = Token.New(TokenKind.UserKey).Text;
        for (var i = 0; i < text.Length; i++)
        {
            var changed = text[..i] + (text[i] == 'a' ? 'b' : 'a') + text[(i + 1)..];
            Token.TryParse(changed, out _).ShouldBeFalse(changed);
            Token.TryParse(text.Remove(i, 1), out _).ShouldBeFalse();
        }

        Token.TryParse(text + "0", out _).ShouldBeFalse();
    }

    [Fact]
    public async Task Junk_is_refused_before_the_database_is_asked()
    {
        // Nothing listens on port 1: whoever asks the database gets an exception.
        await using var nowhere = NpgsqlDataSource.Create("Host=127.0.0.1;Port=1;Username=x;Timeout=1");
        var time = new ManualTimeProvider();
        var authenticator = new Authenticator(new CredentialStore(nowhere), new LastUse(nowhere, time, NullLogger<LastUse>.Instance), time);
        var good = Token.New(TokenKind.UserKey).Text;
        foreach (var junk in (string[])["", "slp_", "hunter2", good[..^1], good[..^1] + (good[^1] == '0' ? '1' : '0'), new string('é', good.Length)])
        {
            (await authenticator.AuthenticateAsync(junk, TenancyHost.Cancelled)).Failure.ShouldBe("credential_invalid");
        }

        await Should.ThrowAsync<NpgsqlException>(async () => await authenticator.AuthenticateAsync(good, TenancyHost.Cancelled));
    }

    [Theory]
    [InlineData("nix:push:acme/dev-*", "acme/dev-1", true)]
    [InlineData("nix:push:acme/dev-*", "acme/dev-", true)]
    [InlineData("nix:push:acme/dev-*", "acme/prod", false)]
    [InlineData("nix:push:acme/dev", "acme/dev", true)]
    [InlineData("nix:push:acme/dev", "acme/dev2", false)]
    [InlineData("nix:push:*", "acme/dev", true)]
    [InlineData("nix:fetch:*", "acme/dev", false)]
    [InlineData("nix:push:acme", "acme/dev", false)]
    public void A_scope_grants_what_its_pattern_says(string text, string target, bool granted)
    {
        var push = new Permission("nix", "push", OrgRole.Member, CredentialRule.KeyOrSession, "");
        Scope.TryParse(text, out var scope, out _).ShouldBeTrue();
        scope!.Grants(push, target).ShouldBe(granted);
    }

    [Theory]
    [InlineData("nix:push")]
    [InlineData("nix:push:")]
    [InlineData(":push:acme")]
    [InlineData("nix:push:ac*me")]
    [InlineData("nix:push:**")]
    [InlineData("nix:push:Acme")]
    [InlineData("nix:push:acme:x")]
    public void A_malformed_scope_is_refused(string text) => Scope.TryParse(text, out _, out _).ShouldBeFalse();
}
