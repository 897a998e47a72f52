using Slipway.Testing;

namespace Slipway.Content.Tests.Tier;

/// <summary>One S3 server for all tests of the tier; each takes a bucket of its own.</summary>
public sealed class S3Server : IAsyncLifetime
{
    private S3Fixture? fixture;

    public S3Fixture Fixture => fixture!;

    public async ValueTask InitializeAsync() => fixture = await S3Fixture.StartAsync(TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        if (fixture is not null)
        {
            await fixture.DisposeAsync();
        }
    }

    /// <summary>A new bucket, reached directly or through a proxy.</summary>
    internal async Task<S3Options> NewBucketAsync(FaultProxy? proxy = null, string prefix = "")
    {
        var options = new S3Options
        {
            Endpoint = fixture!.Endpoint,
            Bucket = S3Fixture.NewBucket(),
            Prefix = prefix,
            AccessKey = S3Fixture.AccessKey,
            SecretKey = S3Fixture.SecretKey,
        };
        using (var client = new Amazon.S3.AmazonS3Client(
            options.AccessKey, options.SecretKey, new Amazon.S3.AmazonS3Config { ServiceURL = fixture.Endpoint.ToString(), ForcePathStyle = true }))
        {
            await client.PutBucketAsync(options.Bucket, TestContext.Current.CancellationToken);
        }

        return proxy is null ? options : options with { Endpoint = new Uri($"http://127.0.0.1:{proxy.Port}") };
    }
}

[CollectionDefinition(Name)]
public sealed class S3Collection : ICollectionFixture<S3Server>
{
    public const string Name = "s3";
}
