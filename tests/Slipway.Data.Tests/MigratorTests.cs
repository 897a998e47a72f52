using System.Text;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Shouldly;
using Slipway.Testing;
using Xunit;

namespace Slipway.Data.Tests;

public sealed class MigratorTests
{
    private static readonly MigrationModule Boats = new("boats", typeof(MigratorTests).Assembly);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Migrations_are_applied_once_and_recorded()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync(Token);

        await Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token);
        await Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token);

        await using var connection = await test.Database.OpenAsync(Token);
        var names = await connection.QueryAsync<string>("select name from schema_migration where module = 'boats' order by number");
        names.ShouldBe(["create_boats", "name_them_once"]);
        (await connection.ExecuteScalarAsync<string>("select obj_description('boat'::regclass)")).ShouldBe("semicolons; in text; are no statement ends");
    }

    [Fact]
    public async Task Servers_that_start_together_do_not_apply_a_file_twice()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync(Token);

        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token)));

        await using var connection = await test.Database.OpenAsync(Token);
        (await connection.ExecuteScalarAsync<int>("select count(*)::int from schema_migration")).ShouldBe(2);
        (await connection.ExecuteScalarAsync<int>("select count(*)::int from pg_locks where locktype = 'advisory'")).ShouldBe(0);
    }

    [Fact]
    public async Task File_changed_after_it_was_applied_is_refused_by_name()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync([Boats], Token);
        await using var connection = await test.Database.OpenAsync(Token);
        await connection.ExecuteAsync("update schema_migration set sha256 = '\\x00' where number = 2");

        var refusal = await Should.ThrowAsync<MigrationException>(() => Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token));

        refusal.Message.ShouldContain("0002_name_them_once.sql was changed after it was applied");
    }

    [Fact]
    public async Task Database_newer_than_the_program_is_refused()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync([Boats], Token);
        await using var connection = await test.Database.OpenAsync(Token);
        await connection.ExecuteAsync("insert into schema_migration (module, number, name, sha256) values ('boats', 3, 'from_the_future', '')");

        var refusal = await Should.ThrowAsync<MigrationException>(() => Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token));

        refusal.Message.ShouldContain("the database is newer than this program");
        refusal.Message.ShouldContain("0003_from_the_future.sql");
    }

    [Fact]
    public async Task Hole_in_the_record_is_refused()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync([Boats], Token);
        await using var connection = await test.Database.OpenAsync(Token);
        await connection.ExecuteAsync("delete from schema_migration where number = 1");

        var refusal = await Should.ThrowAsync<MigrationException>(() => Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token));

        refusal.Message.ShouldContain("0001_create_boats.sql is not recorded");
    }

    [Fact]
    public async Task File_that_fails_is_rolled_back_and_named()
    {
        await using var test = await PostgresFixture.CreateDatabaseAsync(Token);
        await using (var connection = await test.Database.OpenAsync(Token))
        {
            // The second file's first statement will find its index there already.
            await connection.ExecuteAsync("create table other (name text); create index boat_name on other (name)");
        }

        var failure = await Should.ThrowAsync<MigrationException>(() => Migrator.ApplyAsync(test.Database, [Boats], NullLogger.Instance, Token));

        failure.Message.ShouldContain("0002_name_them_once.sql failed and was rolled back: relation \"boat_name\" already exists");
        await using var after = await test.Database.OpenAsync(Token);
        (await after.QueryAsync<int>("select number from schema_migration")).ShouldBe([1]);
    }

    [Theory]
    [InlineData("0001_a.sql 0003_c.sql", "0002 is missing before 0003_c.sql")]
    [InlineData("0001_a.sql 0001_b.sql", "have the same number")]
    [InlineData("1_a.sql", "not named like")]
    [InlineData("0001_Upper.sql", "not named like")]
    [InlineData("", "no embedded migrations")]
    public void Wrong_set_of_files_is_refused(string files, string expected)
    {
        var resources = files.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(name => ("Some.Project.Migrations." + name, Encoding.UTF8.GetBytes("select 1")));

        Should.Throw<MigrationException>(() => MigrationFile.Check("m", resources)).Message.ShouldContain(expected);
    }
}
