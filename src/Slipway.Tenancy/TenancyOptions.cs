namespace Slipway.Tenancy;

/// <summary>Settings of Tenancy, checked by the server's configuration tree before they come here.</summary>
public sealed record TenancyOptions
{
    /// <summary>The server's data folder: the master key and the first admin's token lie in it.</summary>
    public required string DataFolder { get; init; }

    /// <summary>
    /// Requests a credential may make: a bucket of <see cref="RateLimit.Quota"/> that refills over the window. A push of 2,001 paths
    /// is about 6,000 calls in one go, so the default lets two of those through at once.
    /// </summary>
    public RateLimit CredentialRateLimit { get; init; } = new(12_000, TimeSpan.FromMinutes(1));

    /// <summary>Requests one network (/24, /56) may make without a credential: people signing in behind one office address.</summary>
    public RateLimit AnonymousRateLimit { get; init; } = new(300, TimeSpan.FromMinutes(1));

    /// <summary>OWASP's figure for PBKDF2-HMAC-SHA512; about a quarter of a second.</summary>
    public const int StandardPasswordIterations = 210_000;

    /// <summary>What hashing a password costs. Lower only in tests.</summary>
    public int PasswordIterations { get; init; } = StandardPasswordIterations;

    /// <summary>How long a session lives, whatever happens.</summary>
    public TimeSpan SessionLifetime { get; init; } = TimeSpan.FromDays(30);

    /// <summary>How long a key lives unless asked otherwise.</summary>
    public TimeSpan KeyDefaultLifetime { get; init; } = TimeSpan.FromDays(90);

    /// <summary>The longest life of a key that can be asked for. A year and a day: a key renewed at each new year never lapses.</summary>
    public TimeSpan KeyMaxLifetime { get; init; } = TimeSpan.FromDays(366);
}

public sealed record RateLimit(int Quota, TimeSpan Window);
