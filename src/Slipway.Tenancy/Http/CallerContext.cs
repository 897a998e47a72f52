using Microsoft.AspNetCore.Http;

namespace Slipway.Tenancy;

public static class CallerContext
{
    private static readonly object Key = new();

    /// <summary>Who makes this request; set by <c>UseTenancy</c> for every endpoint with an <see cref="AccessRule"/>.</summary>
    public static Caller GetCaller(this HttpContext http) => http.Items[Key] as Caller ?? Caller.Anonymous;

    internal static void SetCaller(this HttpContext http, Caller caller) => http.Items[Key] = caller;
}
