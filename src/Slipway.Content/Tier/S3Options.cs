namespace Slipway.Content;

/// <summary>Where the objects of a store lie and how to get there.</summary>
public sealed record S3Options
{
    /// <summary>https://ACCOUNT.r2.cloudflarestorage.com, https://s3.eu-central-1.amazonaws.com, http://127.0.0.1:9000. No path.</summary>
    public required Uri Endpoint { get; init; }

    public required string Bucket { get; init; }

    /// <summary>What every name begins with: empty, or it ends with a slash. Lets several installations share a bucket.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>Part of every signature. "auto" for R2.</summary>
    public string Region { get; init; } = "us-east-1";

    public required string AccessKey { get; init; }

    public required string SecretKey { get; init; }

    /// <summary>True: ENDPOINT/BUCKET/NAME, which every server speaks. False: BUCKET.ENDPOINT/NAME, which newer AWS regions ask for.</summary>
    public bool PathStyle { get; init; } = true;

    /// <summary>Local bytes of what is in the bucket as well. Past it, what was not read for longest is kept in the bucket alone. Null: all that fits.</summary>
    public long? LocalBytes { get; init; }

    /// <summary>Without credentials, so that logging it by mistake tells nothing.</summary>
    public override string ToString() => $"{Endpoint.GetLeftPart(UriPartial.Authority)}/{Bucket}/{Prefix}";
}
