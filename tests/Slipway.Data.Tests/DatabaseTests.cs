using Dapper;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Data.Tests;

public sealed class DatabaseTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("postgres://ann:p%40ss@db.example:6543/ships?sslmode=verify-full", "db.example", 6543, "ann", "p@ss", "ships")]
    [InlineData("postgresql://ann@db.example/ships", "db.example", 5432, "ann", null, "ships")]
    [InlineData("postgres://ann@localhost/ships?host=/run/postgresql", "/run/postgresql", 5432, "ann", null, "ships")]
    [InlineData("Host=db.example;Username=ann;Password=x;Database=ships", "db.example", 5432, "ann", "x", "ships")]
    public void Url_and_connection_string_are_both_read(string text, string host, int port, string user, string? password, string database)
    {
        Database.TryParse(text, out var settings, out var problem).ShouldBeTrue(problem);

        (settings.Host, settings.Port, settings.Username, settings.Password, settings.Database).ShouldBe((host, port, user, password, database));
    }

    [Theory]
    [InlineData("postgres://")]
    [InlineData("Username=ann;Password=hunter2")]
    [InlineData("postgres://ann:hunter2@host/db?sslmode=sometimes")]
    [InlineData("Host=h;Password=hunter2;Colour=red")]
    [InlineData("Host=h;Password=hunter2;Port=many")]
    [InlineData("nonsense")]
    public void Wrong_value_is_explained_without_its_password(string text)
    {
        Database.TryParse(text, out _, out var problem).ShouldBeFalse();

        problem.ShouldNotBeEmpty();
        problem.ShouldNotContain("hunter2");
        Should.Throw<FormatException>(() => new Database(text)).Message.ShouldBe(problem);
    }

    [Fact]
    public async Task Records_hold_instants_both_ways()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync([new MigrationModule("boats", typeof(DatabaseTests).Assembly)], Token);
        await using var connection = await test.Database.OpenAsync(Token);
        var launched = new DateTimeOffset(2026, 5, 6, 9, 0, 0, TimeSpan.FromHours(2));
        var boat = new Boat(Guid.NewGuid(), "Ida", launched);

        await connection.ExecuteAsync("insert into boat (id, name, launched_at) values (@Id, @Name, @LaunchedAt)", boat);
        await connection.ExecuteAsync("insert into boat (id, name) values (@Id, 'not yet')", new { Id = Guid.NewGuid() });
        var read = (await connection.QueryAsync<Boat>("select id, name, launched_at from boat order by name")).ToList();

        read[0].ShouldBe(boat with { LaunchedAt = launched.ToUniversalTime() });
        read[0].LaunchedAt!.Value.Offset.ShouldBe(TimeSpan.Zero);
        read[1].LaunchedAt.ShouldBeNull();
    }

    private sealed record Boat(Guid Id, string Name, DateTimeOffset? LaunchedAt);
}
