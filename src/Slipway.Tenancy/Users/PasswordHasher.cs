using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Slipway.Tenancy;

/// <summary>
/// PBKDF2-HMAC-SHA512 with a versioned text, <c>pbkdf2-sha512$iterations$salt$hash</c>, so that another function or more iterations can
/// come later and old hashes are replaced at the next sign-in.
/// </summary>
internal sealed class PasswordHasher(TenancyOptions options)
{
    private const string Version = "pbkdf2-sha512";
    private const int SaltBytes = 16;
    private const int HashBytes = 64;

    /// <summary>Half the cores: a flood of sign-ins must leave the other half to everybody else (ID-6).</summary>
    private static readonly int Slots = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>At a quarter of a second each, the last one waiting gets its turn after two seconds. Beyond that: 429.</summary>
    private static readonly int LongestQueue = Slots * 8;

    private readonly SemaphoreSlim slots = new(Slots, Slots);
    private readonly string nobody = Make("", options.PasswordIterations);
    private int waiting;

    /// <summary>Takes a slot to hash in; dispose it soon. Throws 429 when too many are waiting.</summary>
    public async Task<IDisposable> EnterAsync(CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref waiting) > LongestQueue + Slots)
        {
            Interlocked.Decrement(ref waiting);
            throw ApiException.TooMany("Too many passwords are being checked at once.", TimeSpan.FromSeconds(2));
        }

        try
        {
            await slots.WaitAsync(cancellationToken);
        }
        catch
        {
            Interlocked.Decrement(ref waiting);
            throw;
        }

        return new Slot(this);
    }

    public string Hash(string password) => Make(password, options.PasswordIterations);

    /// <summary>Checks <paramref name="password"/>. Without a hash it takes as long and is false: nobody learns which users there are.</summary>
    public bool Verify(string password, string? hash)
    {
        var parts = (hash ?? nobody).Split('$');
        if (parts is not [Version, var iterations, var salt, var expected])
        {
            throw new InvalidDataException("A stored password hash has a form this version does not know.");
        }

        var actual = Derive(password, Convert.FromBase64String(salt), int.Parse(iterations, CultureInfo.InvariantCulture));
        return CryptographicOperations.FixedTimeEquals(actual, Convert.FromBase64String(expected)) && hash is not null;
    }

    public bool IsOutdated(string hash) => !hash.StartsWith(string.Create(CultureInfo.InvariantCulture, $"{Version}${options.PasswordIterations}$"), StringComparison.Ordinal);

    private static string Make(string password, int iterations)
    {
        var salt = RandomNumberGenerator.GetBytes(SaltBytes);
        var hash = Derive(password, salt, iterations);
        return string.Create(CultureInfo.InvariantCulture, $"{Version}${iterations}${Convert.ToBase64String(salt)}${Convert.ToBase64String(hash)}");
    }

    private static byte[] Derive(string password, byte[] salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt, iterations, HashAlgorithmName.SHA512, HashBytes);

    private sealed class Slot(PasswordHasher hasher) : IDisposable
    {
        private int released;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref released, 1) == 0)
            {
                Interlocked.Decrement(ref hasher.waiting);
                hasher.slots.Release();
            }
        }
    }
}
