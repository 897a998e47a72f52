namespace Slipway.Api;

/// <summary>
/// One page of a list. <paramref name="NextPageToken"/> is opaque and null on the last page; pass it back as <c>?pageToken=</c>.
/// <c>?pageSize=</c> is 1 to 200, 50 unless asked.
/// </summary>
public sealed record Page<T>(IReadOnlyList<T> Items, string? NextPageToken);
