using Microsoft.AspNetCore.Http;
using Shouldly;
using Slipway.BuildCache.Namespaces;
using Slipway.Content;
using Slipway.Tenancy;
using Slipway.Testing;
using Xunit;

namespace Slipway.BuildCache.Tests.Namespaces;

/// <summary>Who may do what where, as every protocol of the cache asks it.</summary>
public sealed class AccessTests(BuildCacheServer server) : IClassFixture<BuildCacheServer>
{
    private const BuildCacheRights Everything = BuildCacheRights.Read | BuildCacheRights.Write | BuildCacheRights.WriteActions;

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("read", 1)]
    [InlineData("write", 2)]
    [InlineData("ac-write", 4)]
    public async Task A_scope_gives_its_right_and_no_other(string action, byte flag)
    {
        var right = (BuildCacheRights)flag;
        var name = await server.CacheAsync();
        var key = await KeyAsync($"buildcache:{action}:acme/{name}");
        (await FindAsync(key, $"acme/{name}", right)).Rights.ShouldBe(right);
        foreach (var other in (BuildCacheRights[])[BuildCacheRights.Read, BuildCacheRights.Write, BuildCacheRights.WriteActions])
        {
            if (other != right)
            {
                var refusal = await Should.ThrowAsync<ApiException>(() => FindAsync(key, $"acme/{name}", other));
                refusal.Status.ShouldBe(403);
                refusal.Message.ShouldContain($":acme/{name}");
            }
        }
    }

    [Fact]
    public async Task A_key_has_no_more_rights_than_its_owner()
    {
        var name = await server.CacheAsync();
        var viewer = (await server.World.TokenAsync(Actor.Viewer, null, CancellationToken))!;
        var key = await server.World.IssueAsync(viewer, ["buildcache:read:*", "buildcache:write:*", "buildcache:ac-write:*"], CancellationToken);
        (await FindAsync(key, $"acme/{name}", BuildCacheRights.None)).Rights.ShouldBe(BuildCacheRights.Read);
    }

    [Fact]
    public async Task A_pattern_can_end_at_a_sub_namespace()
    {
        var name = await server.CacheAsync();
        var key = await KeyAsync($"buildcache:read:acme/{name}*", $"buildcache:ac-write:acme/{name}/dev/*");
        (await FindAsync(key, $"acme/{name}/dev/ada", BuildCacheRights.None)).Rights.ShouldBe(BuildCacheRights.Read | BuildCacheRights.WriteActions);
        (await FindAsync(key, $"acme/{name}/release", BuildCacheRights.None)).Rights.ShouldBe(BuildCacheRights.Read);
        (await FindAsync(key, $"acme/{name}", BuildCacheRights.None)).Rights.ShouldBe(BuildCacheRights.Read);
    }

    [Fact]
    public async Task Sub_namespaces_share_the_cache_and_keep_their_actions_apart()
    {
        var name = await server.CacheAsync();
        var action = Digest.Of("an action"u8);
        var whole = await FindAsync(server.Owner, $"acme/{name}", Everything);
        var main = await FindAsync(server.Owner, $"acme/{name}/main", Everything);
        var other = await FindAsync(server.Owner, $"acme/{name}/feature/x", Everything);
        main.Cache.ShouldBeSameAs(whole.Cache);
        whole.ActionKey(action).ShouldBe(action);
        new[] { whole.ActionKey(action), main.ActionKey(action), other.ActionKey(action) }.ShouldBeUnique();
        (await FindAsync(server.Owner, $"acme/{name}/main", Everything)).ActionKey(action).ShouldBe(main.ActionKey(action));
    }

    [Fact]
    public async Task What_is_foreign_and_what_is_not_there_look_the_same()
    {
        var theirs = await server.CacheAsync("elsewhere");
        var key = await KeyAsync("buildcache:read:*");
        async Task<string> SeenAsync(string? token, string instance)
        {
            var refusal = await Should.ThrowAsync<ApiException>(() => FindAsync(token, instance, BuildCacheRights.Read));
            return $"{refusal.Status} {refusal.Code} {refusal.Message.Replace(instance, "NAME", StringComparison.Ordinal)} {refusal.Hint}";
        }

        foreach (var token in (string?[])[null, key, server.Owner])
        {
            var foreign = await SeenAsync(token, $"elsewhere/{theirs}");
            (await SeenAsync(token, "elsewhere/absent")).ShouldBe(foreign);
            (await SeenAsync(token, "nosuchorg/absent")).ShouldBe(foreign);
            (await SeenAsync(token, $"elsewhere/{theirs}/sub")).ShouldBe(foreign);
            (await SeenAsync(token, "no name at all")).ShouldBe(foreign);
        }
    }

    [Fact]
    public async Task A_scope_of_another_cache_tells_nothing_about_this_one()
    {
        var name = await server.CacheAsync();
        var key = await KeyAsync("buildcache:read:acme/something-else");
        var there = await Should.ThrowAsync<ApiException>(() => FindAsync(key, $"acme/{name}", BuildCacheRights.Read));
        var absent = await Should.ThrowAsync<ApiException>(() => FindAsync(key, "acme/absent", BuildCacheRights.Read));
        (there.Status, there.Code, there.Message.Replace(name, "absent", StringComparison.Ordinal)).ShouldBe((absent.Status, absent.Code, absent.Message));
        there.Status.ShouldBe(403);
    }

    [Fact]
    public async Task No_credential_is_asked_for_one_unless_anybody_may_read()
    {
        var closed = await server.CacheAsync();
        var open = await server.CacheAsync(settings: "\"anonymousRead\":true");
        (await Should.ThrowAsync<ApiException>(() => FindAsync(null, $"acme/{closed}", BuildCacheRights.Read))).Status.ShouldBe(401);
        (await FindAsync(null, $"acme/{open}", BuildCacheRights.Read)).Rights.ShouldBe(BuildCacheRights.Read);
        (await FindAsync(server.Stranger, $"acme/{open}", BuildCacheRights.Read)).Rights.ShouldBe(BuildCacheRights.Read);
        (await Should.ThrowAsync<ApiException>(() => FindAsync(null, $"acme/{open}", BuildCacheRights.Write))).Status.ShouldBe(401);
        (await Should.ThrowAsync<ApiException>(() => FindAsync(server.Stranger, $"acme/{open}", BuildCacheRights.Write))).Status.ShouldBe(403);
        (await Should.ThrowAsync<ApiException>(() => FindAsync("slp_u_nonsense", $"acme/{open}", BuildCacheRights.Read))).Status.ShouldBe(401);
    }

    [Fact]
    public async Task Without_a_name_the_only_cache_is_meant_and_of_several_one_must_be_named()
    {
        var name = await server.CacheAsync();
        var one = await KeyAsync($"buildcache:read:acme/{name}");
        (await FindAsync(one, "", BuildCacheRights.Read)).Name.ShouldBe($"acme/{name}");
        var second = await server.CacheAsync();
        var two = await KeyAsync($"buildcache:read:acme/{name}", $"buildcache:read:acme/{second}");
        var refusal = await Should.ThrowAsync<ApiException>(() => FindAsync(two, "", BuildCacheRights.Read));
        refusal.Status.ShouldBe(400);
        refusal.Hint!.ShouldContain("--remote_instance_name=acme/");
        (await Should.ThrowAsync<ApiException>(() => FindAsync(null, "", BuildCacheRights.Read))).Status.ShouldBe(401);
    }

    [Fact]
    public async Task Basic_credentials_carry_the_key_as_password()
    {
        var name = await server.CacheAsync();
        var key = await KeyAsync($"buildcache:read:acme/{name}");
        var http = new DefaultHttpContext();
        http.Request.Headers.Authorization = "Basic " + Convert.ToBase64String(System.Text.Encoding.ASCII.GetBytes($"anybody:{key}"));
        (await server.Directory.FindAsync(http, $"acme/{name}", BuildCacheRights.Read, CancellationToken)).MayRead.ShouldBeTrue();
    }

    [Fact]
    public async Task A_stream_ends_when_its_key_is_revoked_and_others_go_on()
    {
        var name = await server.CacheAsync();
        var issued = await server.Client.JsonAsync("POST", "/v1/keys", server.Owner, AccessWorld.KeyBody($"buildcache:read:acme/{name}"), CancellationToken);
        var revoked = (await FindAsync(issued.Text("secret"), $"acme/{name}", BuildCacheRights.Read)).Ended;
        var going = (await FindAsync(await KeyAsync($"buildcache:read:acme/{name}"), $"acme/{name}", BuildCacheRights.Read)).Ended;
        (await server.Client.CallAsync("DELETE", "/v1/keys/" + issued["key"]!.Text("id"), server.Owner, null, CancellationToken)).EnsureSuccessStatusCode();
        await Eventually.TrueAsync(() => revoked.IsCancellationRequested, CancellationToken);
        going.IsCancellationRequested.ShouldBeFalse();
    }

    [Fact]
    public async Task Streams_end_when_their_cache_is_deleted()
    {
        var name = await server.CacheAsync();
        var ended = (await FindAsync(server.Owner, $"acme/{name}", BuildCacheRights.Read)).Ended;
        (await server.Client.CallAsync("DELETE", $"/v1/orgs/acme/build-caches/{name}", server.Owner, null, CancellationToken)).EnsureSuccessStatusCode();
        ended.IsCancellationRequested.ShouldBeTrue();
    }

    private Task<string> KeyAsync(params string[] scopes) => server.World.IssueAsync(server.Owner, scopes, CancellationToken);

    private async Task<BuildCacheAccess> FindAsync(string? token, string instance, BuildCacheRights needed)
    {
        var http = new DefaultHttpContext();
        if (token is not null)
        {
            http.Request.Headers.Authorization = "Bearer " + token;
        }

        return await server.Directory.FindAsync(http, System.Text.Encoding.UTF8.GetBytes(instance), needed, CancellationToken);
    }
}
