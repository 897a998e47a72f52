using System.Security.Cryptography;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Tenancy.Tests;

public sealed class SecretTests
{
    private static CancellationToken Cancelled => TenancyHost.Cancelled;

    [Fact]
    public void What_was_sealed_opens_after_a_restart_and_only_in_its_place()
    {
        using var folder = new TempFolder();
        var box = SecretBox.Open(folder.Path);
        var sealed1 = box.Seal("purpose", "secret"u8, "row 1"u8);
        var again = SecretBox.Open(folder.Path);
        again.Open("purpose", sealed1, "row 1"u8).ShouldBe("secret"u8.ToArray());
        Should.Throw<CryptographicException>(() => again.Open("other", sealed1, "row 1"u8));
        Should.Throw<CryptographicException>(() => again.Open("purpose", sealed1, "row 2"u8));
        for (var i = 0; i < sealed1.Length; i++)
        {
            var changed = sealed1.ToArray();
            changed[i] ^= 1;
            Should.Throw<CryptographicException>(() => again.Open("purpose", changed, "row 1"u8));
        }

        box.Seal("purpose", "secret"u8, "row 1"u8).ShouldNotBe(sealed1);
        File.GetUnixFileMode(Path.Combine(folder.Path, "keys", "master.key")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public void A_damaged_master_key_is_a_clear_error()
    {
        using var folder = new TempFolder();
        File.WriteAllText(folder.File("keys/master.key"), "short");
        Should.Throw<InvalidDataException>(() => SecretBox.Open(folder.Path)).Message.ShouldContain("backup");
    }

    [Fact]
    public async Task The_first_start_makes_a_superuser_whose_token_only_its_owner_can_read()
    {
        await using var host = await TenancyHost.StartAsync();
        var path = Path.Combine(host.DataFolder, "admin-token");
        File.GetUnixFileMode(path).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        var who = await host.Client.JsonAsync("GET", "/v1/whoami", host.AdminToken, null, Cancelled);
        who.Text("name").ShouldBe("admin");
        who["superuser"]!.GetValue<bool>().ShouldBeTrue();
        Directory.GetFiles(host.DataFolder).ShouldBe([path]);
    }

    [Fact]
    public async Task A_later_start_issues_a_token_only_when_the_old_one_is_gone_or_no_good()
    {
        await using var host = await TenancyHost.StartAsync();
        var path = Path.Combine(host.DataFolder, "admin-token");
        async Task<string> RestartAsync()
        {
            await host.Get<TenancyBootstrap>().EnsureAdminAsync(host.DataFolder, Cancelled);
            return (await File.ReadAllTextAsync(path, Cancelled)).Trim();
        }

        (await RestartAsync()).ShouldBe(host.AdminToken);
        (await host.Client.CallAsync("DELETE", "/v1/sessions/current", host.AdminToken, null, Cancelled)).EnsureSuccessStatusCode();
        var second = await RestartAsync();
        second.ShouldNotBe(host.AdminToken);
        File.Delete(path);
        var third = await RestartAsync();
        third.ShouldNotBe(second);
        host.Time.Sleep(TimeSpan.FromDays(31));
        (await RestartAsync()).ShouldNotBe(third);
        await File.WriteAllTextAsync(path, "junk", Cancelled);
        (await host.Client.JsonAsync("GET", "/v1/whoami", await RestartAsync(), null, Cancelled)).Text("name").ShouldBe("admin");
    }

    [Fact]
    public async Task Housekeeping_removes_what_has_run_out_and_nothing_else()
    {
        await using var host = await TenancyHost.StartAsync();
        var housekeeping = new Housekeeping(host.Database.Database.Source, host.Get<SignInThrottle>(), host.Time, Microsoft.Extensions.Logging.Abstractions.NullLogger<Housekeeping>.Instance);
        await host.Client.JsonAsync("POST", "/v1/orgs", host.AdminToken, """{"name":"acme"}""", Cancelled, ("Idempotency-Key", "x"));
        await host.Client.CallAsync("POST", "/v1/sessions", null, """{"name":"nobody","password":"wrong"}""", Cancelled);
        async Task<string> CountAsync()
        {
            await using var command = host.Database.Database.Source.CreateCommand(
                "select (select count(*) from idempotency_record) || ' ' || (select count(*) from sign_in_throttle) || ' ' || (select count(*) from session)");
            return (string)(await command.ExecuteScalarAsync(Cancelled))!;
        }

        await housekeeping.SweepAsync(Cancelled);
        (await CountAsync()).ShouldBe("1 2 1");
        host.Time.Sleep(TimeSpan.FromHours(24));
        await housekeeping.SweepAsync(Cancelled);
        (await CountAsync()).ShouldBe("0 0 1");
        host.Time.Sleep(TimeSpan.FromDays(61));
        await housekeeping.SweepAsync(Cancelled);
        (await CountAsync()).ShouldBe("0 0 0");
    }
}
