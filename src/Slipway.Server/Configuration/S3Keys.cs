using Slipway.Content;

namespace Slipway.Server.Configuration;

/// <summary>The keys of the bucket that stores have their segments in as well. They belong together: all that are needed, or none.</summary>
internal static class S3Keys
{
    private const string Section = "content.s3.";

    /// <summary>A name in S3 may have 1,024 bytes; ours take up to 130 of them.</summary>
    private const int MaxPrefix = 512;

    public static readonly ConfigurationKey<Uri?> Endpoint = new(
        Section + "endpoint", "URL", "none: stores are on this machine only", null,
        "An S3 server, such as https://ACCOUNT.r2.cloudflarestorage.com. With it everything stored is copied to content.s3.bucket, and several servers with the same database share it.",
        false, null, EndpointUrl);

    public static readonly ConfigurationKey<string?> Bucket = new(
        Section + "bucket", "bucket", "none", null, "The bucket. It must exist, and keep one version of each object.", false, null, BucketName);

    public static readonly ConfigurationKey<string?> Prefix = new(
        Section + "prefix", "text", "none", null, "What all names in the bucket begin with, when others use it too: slipway/", false, null, PrefixText);

    public static readonly ConfigurationKey<string> Region = new(
        Section + "region", "region", "us-east-1", null, "The region that requests are signed for: Amazon's own name of it; auto for Cloudflare R2.", false, "us-east-1", Word);

    public static readonly ConfigurationKey<string?> AccessKey = new(
        Section + "accessKey", "key id", "none", null, "The id of a key that may read, write, list and delete in the bucket.", false, null, Word);

    public static readonly ConfigurationKey<string?> SecretKey = new(
        Section + "secretKey", "secret", "none", null, "The secret of that key.", true, null, Word);

    public static readonly ConfigurationKey<string?> SecretKeyFile = new(
        Section + "secretKeyFile", "file", "none", null, "A file that holds the secret of that key, instead of content.s3.secretKey.", false, null, SecretFile);

    public static readonly ConfigurationKey<bool> PathStyle = new(
        Section + "pathStyle", "true or false", "true", null, "Whether the bucket stands in the path (ENDPOINT/BUCKET) or before the host name (BUCKET.ENDPOINT).", false, true,
        ValueParsers.Choice(("true", true), ("false", false)));

    // 0: a store that lives in the bucket alone, but for what is on its way there.
    public static readonly ConfigurationKey<long> LocalBytes = new(
        Section + "localBytes", "size: a number and B, KiB, MiB, GiB or TiB", "all that fits", null,
        "How much each store keeps on this machine of what is in the bucket; what was not read for longest goes first.", false, long.MaxValue, ValueParsers.Bytes(0, 1L << 50));

    public static IReadOnlyList<ConfigurationKey> All { get; } = [Endpoint, Bucket, Prefix, Region, AccessKey, SecretKey, SecretKeyFile, PathStyle, LocalBytes];

    /// <summary>Null when there is no bucket. Only for values without <see cref="FindContradictions"/>.</summary>
    public static S3Options? Build(ConfigurationValues values) =>
        values.Get(Endpoint) is { } endpoint && values.Get(Bucket) is { } bucket && values.Get(AccessKey) is { } accessKey && SecretOf(values) is { } secret
            ? new S3Options
            {
                Endpoint = endpoint,
                Bucket = bucket,
                Prefix = values.Get(Prefix) ?? "",
                Region = values.Get(Region),
                AccessKey = accessKey,
                SecretKey = secret,
                PathStyle = values.Get(PathStyle),
                LocalBytes = values.Get(LocalBytes) is var bytes && bytes < long.MaxValue ? bytes : null,
            }
            : null;

    public static IEnumerable<ConfigurationFault> FindContradictions(ConfigurationValues values)
    {
        if (values.Get(Endpoint) is null)
        {
            foreach (var key in All.Where(key => key != Endpoint && values.Has(key)))
            {
                yield return values.FaultOf(key, "is set, but content.s3.endpoint is not, so there is no bucket", "set content.s3.endpoint, or remove it");
            }

            yield break;
        }

        if (values.Get(Bucket) is null)
        {
            yield return values.FaultOf(Bucket, "is missing, and content.s3.endpoint is set", "name the bucket");
        }

        if (values.Get(AccessKey) is null)
        {
            yield return values.FaultOf(AccessKey, "is missing, and content.s3.endpoint is set", "give the id of a key for the bucket");
        }

        if (values.Get(SecretKey) is null == (values.Get(SecretKeyFile) is null))
        {
            yield return values.FaultOf(
                SecretKey,
                values.Get(SecretKey) is null ? "is missing, and so is content.s3.secretKeyFile" : "is set, and content.s3.secretKeyFile too",
                $"give one of the two; the environment variable is {SecretKey.EnvironmentName}");
        }
    }

    private static string? SecretOf(ConfigurationValues values) =>
        values.Get(SecretKey) ?? (values.Get(SecretKeyFile) is { } file ? File.ReadAllText(file).Trim() : null);

    private static ParsedValue EndpointUrl(Setting setting)
    {
        var url = ValueParsers.HttpUrl(setting);
        return url.Value is Uri { AbsolutePath: not "/" }
            ? ParsedValue.Bad("has a path", "give the server alone; the bucket goes to content.s3.bucket")
            : url;
    }

    private static ParsedValue BucketName(Setting setting) =>
        setting.Text.Length is >= 3 and <= 63 && setting.Text.All(character => char.IsAsciiLetterLower(character) || char.IsAsciiDigit(character) || character is '.' or '-')
            ? ParsedValue.Ok(setting.Text)
            : ParsedValue.Bad("is not the name of a bucket", "give 3 to 63 lower-case letters, digits, dots and hyphens");

    private static ParsedValue PrefixText(Setting setting) =>
        setting.Text.Length is > 1 and <= MaxPrefix && setting.Text[0] != '/' && setting.Text[^1] == '/'
            && setting.Text.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '-' or '_' or '/')
            ? ParsedValue.Ok(setting.Text)
            : ParsedValue.Bad("is not a prefix", "give letters, digits, dots, hyphens and slashes, not beginning but ending with a slash: slipway/");

    private static ParsedValue Word(Setting setting) =>
        setting.Text.Length is > 0 and <= 1024 && setting.Text.All(character => character is > ' ' and < (char)127)
            ? ParsedValue.Ok(setting.Text)
            : ParsedValue.Bad("is empty or has characters that it can't have", "give it as the S3 server shows it, without spaces");

    private static ParsedValue SecretFile(Setting setting)
    {
        const string Cure = "give the absolute path of a file that this account can read and that holds the secret alone";
        try
        {
            return Path.IsPathFullyQualified(setting.Text) && File.ReadAllText(setting.Text).Trim().Length > 0
                ? ParsedValue.Ok(setting.Text)
                : ParsedValue.Bad("is no absolute path, or the file is empty", Cure);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ParsedValue.Bad("can't be read", Cure);
        }
    }
}
