using Slipway.Data;

namespace Slipway.Tenancy;

/// <summary>The prefixes of Tenancy's ids.</summary>
internal static class Ids
{
    public static string Org(Guid id) => EntityId.Show("org", id);

    public static string User(Guid id) => EntityId.Show("user", id);

    public static string ServiceAccount(Guid id) => EntityId.Show("sa", id);

    public static string Session(Guid id) => EntityId.Show("ses", id);

    public static string Key(Guid id) => EntityId.Show("key", id);

    public static string Actor(string type, Guid id) => type switch
    {
        "user" => User(id),
        "service_account" => ServiceAccount(id),
        _ => type,
    };
}
