using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

namespace Slipway.Content;

/// <summary>A bucket, by Amazon's client. One attempt per call: repeating is <see cref="ReliableObjectStorage"/>'s business.</summary>
/// <remarks>
/// What other servers than Amazon's choke on is left out: no ACLs, no chunked signatures, no checksum headers beside the signature's. Over
/// https the payload is not signed (TLS protects it, and R2 advises it); over http it is. The client compares the MD5 of what it sent
/// with the tag of what the server has.
/// </remarks>
internal sealed class S3ObjectStorage : IObjectStorage
{
    private readonly S3Options options;
    private readonly AmazonS3Client client;
    private readonly ConnectionFactory connections = new();
    private readonly bool encrypted;

    public S3ObjectStorage(S3Options options)
    {
        this.options = options;
        encrypted = options.Endpoint.Scheme == Uri.UriSchemeHttps;
        client = new AmazonS3Client(new BasicAWSCredentials(options.AccessKey, options.SecretKey), new AmazonS3Config
        {
            ServiceURL = options.Endpoint.GetLeftPart(UriPartial.Authority),
            AuthenticationRegion = options.Region,
            ForcePathStyle = options.PathStyle,
            MaxErrorRetry = 0,
            HttpClientFactory = connections,
            // Timeouts are set per attempt, by what it has to move.
            Timeout = Timeout.InfiniteTimeSpan,
            // Nothing of this process goes anywhere but to the endpoint.
            DisableHostPrefixInjection = true,
            UseDualstackEndpoint = false,
        });
    }

    public async ValueTask<StoredObject> PutAsync(string key, ObjectContent content, PutCondition condition, CancellationToken cancellationToken)
    {
        await using var stream = content.OpenStream();
        var request = new PutObjectRequest
        {
            BucketName = options.Bucket,
            Key = Name(key),
            InputStream = stream,
            AutoCloseStream = false,
            UseChunkEncoding = false,
            DisablePayloadSigning = encrypted,
            ContentType = "application/octet-stream",
        };
        if (condition == PutCondition.IfAbsent)
        {
            request.Headers["If-None-Match"] = "*";
        }

        var answer = await TryAsync(() => client.PutObjectAsync(request, cancellationToken), "write", key, cancellationToken);
        return new StoredObject(key, content.Length, answer.ETag, default);
    }

    public async ValueTask<string> StartPartsAsync(string key, CancellationToken cancellationToken) =>
        (await TryAsync(
            () => client.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest { BucketName = options.Bucket, Key = Name(key) }, cancellationToken),
            "begin", key, cancellationToken)).UploadId;

    public async ValueTask<string> PutPartAsync(string key, string upload, int number, ObjectContent content, CancellationToken cancellationToken)
    {
        await using var stream = content.OpenStream();
        var request = new UploadPartRequest
        {
            BucketName = options.Bucket,
            Key = Name(key),
            UploadId = upload,
            PartNumber = number,
            PartSize = content.Length,
            InputStream = stream,
            UseChunkEncoding = false,
            DisablePayloadSigning = encrypted,
        };
        return (await TryAsync(() => client.UploadPartAsync(request, cancellationToken), "write a part of", key, cancellationToken)).ETag;
    }

    public async ValueTask FinishPartsAsync(string key, string upload, IReadOnlyList<string> tags, CancellationToken cancellationToken)
    {
        var request = new CompleteMultipartUploadRequest
        {
            BucketName = options.Bucket,
            Key = Name(key),
            UploadId = upload,
            PartETags = [.. tags.Select((tag, i) => new PartETag(i + 1, tag))],
        };
        await TryAsync(() => client.CompleteMultipartUploadAsync(request, cancellationToken), "finish", key, cancellationToken);
    }

    public async ValueTask<int> AbandonPartsAsync(string prefix, DateTimeOffset startedBefore, CancellationToken cancellationToken)
    {
        var request = new ListMultipartUploadsRequest { BucketName = options.Bucket, Prefix = Name(prefix) };
        for (var count = 0; ;)
        {
            var page = await TryAsync(() => client.ListMultipartUploadsAsync(request, cancellationToken), "list the uploads below", prefix, cancellationToken);
            foreach (var upload in page.MultipartUploads.Where(upload => upload.Initiated.ToUniversalTime() < startedBefore.UtcDateTime))
            {
                var abort = new AbortMultipartUploadRequest { BucketName = options.Bucket, Key = upload.Key, UploadId = upload.UploadId };
                await TryAsync(() => client.AbortMultipartUploadAsync(abort, cancellationToken), "abandon", upload.Key, cancellationToken, missing: new());
                count++;
            }

            if (!page.IsTruncated)
            {
                return count;
            }

            request.KeyMarker = page.NextKeyMarker;
            request.UploadIdMarker = page.NextUploadIdMarker;
        }
    }

    public async ValueTask<StoredObject?> HeadAsync(string key, CancellationToken cancellationToken)
    {
        var request = new GetObjectMetadataRequest { BucketName = options.Bucket, Key = Name(key) };
        var answer = await TryAsync<GetObjectMetadataResponse?>(
            async () => await client.GetObjectMetadataAsync(request, cancellationToken), "look at", key, cancellationToken, missing: (GetObjectMetadataResponse?)null);
        return answer is null ? null : new StoredObject(key, answer.ContentLength, answer.ETag, answer.LastModified.ToUniversalTime());
    }

    public async ValueTask<int> ReadAsync(string key, long offset, Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (destination.IsEmpty)
        {
            return 0;
        }

        var request = new GetObjectRequest { BucketName = options.Bucket, Key = Name(key), ByteRange = new ByteRange(offset, offset + destination.Length - 1) };
        return await TryAsync(
            async () =>
            {
                using var answer = await client.GetObjectAsync(request, cancellationToken);
                // A server that ignores ranges would otherwise give the object's start for any part of it.
                if (answer.HttpStatusCode != HttpStatusCode.PartialContent || answer.ContentLength > destination.Length)
                {
                    throw new ObjectStorageException(ObjectFailure.Refused, $"{options} answered a request for a range of {key} with all of it.");
                }

                var length = (int)answer.ContentLength;
                await answer.ResponseStream.ReadExactlyAsync(destination[..length], cancellationToken);
                return length;
            },
            "read", key, cancellationToken, missing: -1);
    }

    public async ValueTask<FetchedObject> GetAsync(string key, string? unlessTag, CancellationToken cancellationToken)
    {
        var request = new GetObjectRequest { BucketName = options.Bucket, Key = Name(key), EtagToNotMatch = unlessTag };
        return await TryAsync(
            async () =>
            {
                try
                {
                    using var answer = await client.GetObjectAsync(request, cancellationToken);
                    var bytes = new byte[answer.ContentLength];
                    await answer.ResponseStream.ReadExactlyAsync(bytes, cancellationToken);
                    return new FetchedObject(FetchOutcome.Found, bytes, answer.ETag);
                }
                catch (AmazonS3Exception e) when (e.StatusCode == HttpStatusCode.NotModified)
                {
                    return new FetchedObject(FetchOutcome.Unchanged, [], unlessTag);
                }
            },
            "fetch", key, cancellationToken, missing: FetchedObject.Missing);
    }

    public async ValueTask DeleteAsync(IReadOnlyCollection<string> keys, CancellationToken cancellationToken)
    {
        foreach (var some in keys.Chunk(ObjectLimits.DeletesAtOnce))
        {
            var request = new DeleteObjectsRequest { BucketName = options.Bucket, Quiet = true, Objects = [.. some.Select(key => new KeyVersion { Key = Name(key) })] };
            await TryAsync(() => client.DeleteObjectsAsync(request, cancellationToken), "delete", some[0], cancellationToken);
        }
    }

    public async IAsyncEnumerable<StoredObject> ListAsync(string prefix, string? after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = options.Bucket, Prefix = Name(prefix), StartAfter = after is null ? null : Name(after) };
        ListObjectsV2Response page;
        do
        {
            page = await TryAsync(() => client.ListObjectsV2Async(request, cancellationToken), "list", prefix, cancellationToken);
            foreach (var found in page.S3Objects)
            {
                yield return new StoredObject(found.Key[options.Prefix.Length..], found.Size, found.ETag, found.LastModified.ToUniversalTime());
            }

            request.ContinuationToken = page.NextContinuationToken;
        }
        while (page.IsTruncated);
    }

    public void Dispose()
    {
        client.Dispose();
        connections.Dispose();
    }

    private string Name(string key) => options.Prefix + key;

    private Task<T> TryAsync<T>(Func<Task<T>> call, string verb, string key, CancellationToken cancellationToken) =>
        TryAsync(call, verb, key, cancellationToken, default, false);

    private Task<T> TryAsync<T>(Func<Task<T>> call, string verb, string key, CancellationToken cancellationToken, T missing) =>
        TryAsync(call, verb, key, cancellationToken, missing, true);

    // The one place where what the client throws becomes what we throw.
    private async Task<T> TryAsync<T>(Func<Task<T>> call, string verb, string key, CancellationToken cancellationToken, T? missing, bool mayBeMissing)
    {
        try
        {
            return await call();
        }
        catch (AmazonS3Exception e) when (mayBeMissing && e.StatusCode == HttpStatusCode.NotFound && e.ErrorCode is not "NoSuchBucket")
        {
            return missing!;
        }
        catch (AmazonS3Exception e) when (e.StatusCode != 0)
        {
            var failure = e.StatusCode switch
            {
                HttpStatusCode.PreconditionFailed => ObjectFailure.Conflict,
                // Amazon's word for two conditional writes of one name at the same moment.
                HttpStatusCode.Conflict when e.ErrorCode is "ConditionalRequestConflict" => ObjectFailure.Conflict,
                HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout or >= HttpStatusCode.InternalServerError => ObjectFailure.Unavailable,
                // What was being read changed or stopped in mid-request; RequestTimeout comes as 400.
                HttpStatusCode.BadRequest when e.ErrorCode is "RequestTimeout" or "IncompleteBody" => ObjectFailure.Unavailable,
                _ => ObjectFailure.Refused,
            };
            // Not the server's own words: for a wrong key they repeat parts of the signature.
            throw new ObjectStorageException(
                failure, string.Create(CultureInfo.InvariantCulture, $"{options} refused to {verb} {key}: {(int)e.StatusCode} {e.ErrorCode}.{Cure(e)}"), e);
        }
        catch (Exception e) when (e is AmazonClientException or HttpRequestException or IOException or OperationCanceledException or TimeoutException
            && !cancellationToken.IsCancellationRequested)
        {
            var reason = e.InnerException is HttpRequestException or IOException ? e.InnerException.Message : e.Message;
            throw new ObjectStorageException(ObjectFailure.Unavailable, $"{options} did not {verb} {key}: {reason}", e);
        }
    }

    private static string Cure(AmazonS3Exception e) => e.ErrorCode switch
    {
        "NoSuchBucket" => " Make the bucket, or correct content.s3.bucket.",
        "InvalidAccessKeyId" => " Correct content.s3.accessKey.",
        "SignatureDoesNotMatch" => " Correct content.s3.secretKey, or content.s3.region.",
        "AuthorizationHeaderMalformed" or "PermanentRedirect" => " Correct content.s3.region and content.s3.endpoint.",
        "AccessDenied" => " Let this key read, write, list and delete in the bucket.",
        "RequestTimeTooSkewed" => " Set this machine's clock.",
        _ => "",
    };

    /// <summary>One pool of connections for this bucket.</summary>
    private sealed class ConnectionFactory : HttpClientFactory, IDisposable
    {
        private readonly SocketsHttpHandler handler = new()
        {
            ConnectTimeout = TimeSpan.FromSeconds(5),
            // Address changes of big S3 services are meant to be noticed within minutes.
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            MaxConnectionsPerServer = 64,
            AllowAutoRedirect = false,
        };

        public override HttpClient CreateHttpClient(IClientConfig clientConfig) => new(handler, disposeHandler: false) { Timeout = Timeout.InfiniteTimeSpan };

        public override bool UseSDKHttpClientCaching(IClientConfig clientConfig) => false;

        public override bool DisposeHttpClientsAfterUse(IClientConfig clientConfig) => false;

        public void Dispose() => handler.Dispose();
    }
}
