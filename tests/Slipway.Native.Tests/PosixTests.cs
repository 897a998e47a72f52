using System.Net;
using System.Net.Sockets;
using Shouldly;
using Xunit;

namespace Slipway.Native.Tests;

public sealed class PosixTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("slipway-posix-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void A_lock_is_held_once_until_it_is_disposed()
    {
        var path = Path.Combine(folder, "lock");

        var first = Posix.TryLock(path);
        var second = Posix.TryLock(path);
        first?.Dispose();
        using var third = Posix.TryLock(path);

        first.ShouldNotBeNull();
        second.ShouldBeNull();
        third.ShouldNotBeNull();
    }

    [Fact]
    public void A_lock_in_a_folder_that_is_not_there_says_which()
    {
        var error = Should.Throw<IOException>(() => Posix.TryLock(Path.Combine(folder, "none", "lock")));

        error.Message.ShouldContain("none/lock");
        error.HResult.ShouldBe(2 /* ENOENT */);
    }

    [Fact]
    public void Folders_are_synced_and_missing_ones_reported()
    {
        Posix.SyncDirectory(folder);

        Should.Throw<IOException>(() => Posix.SyncDirectory(Path.Combine(folder, "none")));
    }

    [Fact]
    public void Root_has_number_0_and_unknown_users_none()
    {
        Posix.FindUser("root").ShouldBe((0u, 0u));
        Posix.FindUser("no-such-user-anywhere").ShouldBeNull();
    }

    [Fact]
    public void New_files_belong_to_the_effective_user()
    {
        var path = Path.Combine(folder, "mine");
        File.WriteAllText(path, "");

        Posix.OwnerOf(path).Uid.ShouldBe(Posix.EffectiveUserId);
    }

    [Fact]
    public void Ownership_changes_for_the_link_and_not_for_what_it_points_to()
    {
        var target = Path.Combine(folder, "target");
        var link = Path.Combine(folder, "link");
        File.WriteAllText(target, "");
        File.CreateSymbolicLink(link, target);
        var before = Posix.OwnerOf(target);
        var other = Posix.EffectiveUserId == 0 ? (Uid: 12345u, Gid: 12346u) : before;

        Posix.ChangeOwner(link, other.Uid, other.Gid);

        Posix.OwnerOf(link).ShouldBe(other);
        Posix.OwnerOf(target).ShouldBe(before);
    }

    [Fact]
    public async Task A_file_is_sent_from_an_offset_to_its_end()
    {
        var path = Path.Combine(folder, "content");
        await File.WriteAllTextAsync(path, "0123456789", TestContext.Current.CancellationToken);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)listener.LocalEndpoint, TestContext.Current.CancellationToken);
        using var server = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        using var file = File.OpenHandle(path);

        var offset = 4L;
        var sent = Posix.SendFile(server.SafeHandle, file, ref offset, 100);
        var atEnd = Posix.SendFile(server.SafeHandle, file, ref offset, 100);
        server.Shutdown(SocketShutdown.Both);

        (sent, offset, atEnd).ShouldBe((6, 10, 0));
        using var reader = new StreamReader(client.GetStream());
        (await reader.ReadToEndAsync(TestContext.Current.CancellationToken)).ShouldBe("456789");
    }
}
