using Slipway.Testing;

namespace Slipway.Content.Tests.Tier;

[Collection(S3Collection.Name)]
public sealed class ReliableObjectStorageTests(S3Server server)
{
    private static readonly Persistence Impatient = new(3, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(500));

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Server_that_hangs_is_given_up_after_the_time_limit_and_not_asked_again_for_a_while()
    {
        await using var proxy = new FaultProxy(server.Fixture.Port);
        var time = new ManualTimeProvider();
        var breaker = new CircuitBreaker(time);
        using var storage = Over(await server.NewBucketAsync(proxy), breaker);
        proxy.Fault = NetworkFault.Hangs;

        (await FailAsync(storage)).Message.ShouldContain("did not answer within");
        (await FailAsync(storage)).Message.ShouldContain("did not answer within");
        breaker.IsOpen.ShouldBeTrue();
        var accepted = proxy.Accepted;
        await FailAsync(storage);
        proxy.Accepted.ShouldBe(accepted);

        proxy.Fault = NetworkFault.None;
        time.Advance(TimeSpan.FromSeconds(2));
        await storage.PutAsync("a", ObjectContent.Of(new byte[] { 1 }), PutCondition.Always, CancellationToken);
        breaker.Problem.ShouldBeNull();
        breaker.IsOpen.ShouldBeFalse();
    }

    [Fact]
    public async Task Conflict_is_an_answer_and_is_not_tried_again()
    {
        await using var proxy = new FaultProxy(server.Fixture.Port);
        var breaker = new CircuitBreaker(TimeProvider.System);
        using var storage = Over(await server.NewBucketAsync(proxy), breaker);
        await storage.PutAsync("a", ObjectContent.Of(new byte[] { 1 }), PutCondition.IfAbsent, CancellationToken);

        var conflict = await Should.ThrowAsync<ObjectStorageException>(async () =>
            await storage.PutAsync("a", ObjectContent.Of(new byte[] { 2 }), PutCondition.IfAbsent, CancellationToken));

        conflict.Failure.ShouldBe(ObjectFailure.Conflict);
        breaker.Problem.ShouldBeNull();
    }

    // The network's clock is the real one, the breaker's is the test's.
    private static ReliableObjectStorage Over(S3Options options, CircuitBreaker breaker) =>
        new(new S3ObjectStorage(options), Impatient, breaker, TimeProvider.System, new Random(1));

    private static Task<ObjectStorageException> FailAsync(ReliableObjectStorage storage) =>
        Should.ThrowAsync<ObjectStorageException>(async () => await storage.HeadAsync("a", CancellationToken));
}
