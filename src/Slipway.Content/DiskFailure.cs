namespace Slipway.Content;

/// <summary>The one place where errors of the operating system become errors of the store.</summary>
internal static class DiskFailure
{
    // .NET keeps the errno in HResult for errors it has no exception type for.
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;

    public static ContentStoreException Translate(Exception exception, string what) => exception.HResult switch
    {
        NoSpace or QuotaExceeded => new ContentStoreException(ContentFailure.StoreFull,
            $"{what}: the disk is full. Free space on it, or delete paths and run a sweep.", exception),
        _ => new ContentStoreException(ContentFailure.Unavailable, $"{what}: {exception.Message}", exception),
    };
}
