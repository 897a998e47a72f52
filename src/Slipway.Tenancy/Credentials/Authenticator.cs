using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>
/// Turns the <c>Authorization</c> header, or else a client certificate, into a <see cref="Caller"/>. What the database said is kept for at most a second, and
/// forgotten at once when this process changes any identity, so a revocation is effective here at once and elsewhere within a second.
/// </summary>
/// <remarks>
/// <code>
/// header ─ parse, checksum ─ cache by public id ─ SHA-256(secret) compared in constant time ─ expiry ─ caller
///             │ junk: 401        │ older than 1 s, or Forget() since: one query
/// certificate ─ the key it names ─┘ (who has its private key needs no secret)
/// </code>
/// </remarks>
public sealed class Authenticator
{
    /// <summary>How long another process may go on honouring what was revoked (ID-3: one second).</summary>
    private static readonly TimeSpan Freshness = TimeSpan.FromSeconds(1);

    /// <summary>Ids kept at once; beyond it the cache starts over. An entry is about 1 kB, so 64 MB at most.</summary>
    private const int LargestCache = 65_536;

    /// <summary>Longest header looked at: a Basic pair of a user name and a token is under 300 characters.</summary>
    private const int LongestHeader = 512;

    private static readonly Caller Malformed = Caller.Nobody(ProblemCodes.CredentialInvalid, "The credential sent is not a Slipway key or session token.");
    private static readonly Caller Unknown = Caller.Nobody(ProblemCodes.CredentialInvalid, "The credential sent is not known here.");

    private static readonly Caller Unnamed = Caller.Nobody(ProblemCodes.CredentialInvalid, "The client certificate names no Slipway key.");

    private readonly CredentialStore store;
    private readonly LastUse lastUse;
    private readonly TimeProvider time;
    private readonly ConcurrentDictionary<string, Entry> entries = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Entry>.AlternateLookup<ReadOnlySpan<char>> entriesBySpan;
    private readonly ConditionalWeakTable<X509Certificate2, CertifiedKey> keysOfCertificates = [];
    private long epoch;
    private TaskCompletionSource forgotten = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal Authenticator(CredentialStore store, LastUse lastUse, TimeProvider time)
    {
        this.store = store;
        this.lastUse = lastUse;
        this.time = time;
        entriesBySpan = entries.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>
    /// Reads Bearer, or Basic where the password (or else the user name) is the token. A credential that is no good gives a caller
    /// with a <see cref="Caller.Failure"/>, never a silently anonymous one. Completes at once on a hit.
    /// </summary>
    public ValueTask<Caller> AuthenticateAsync(HttpContext http, CancellationToken cancellationToken)
    {
        var header = http.Request.Headers.Authorization;
        if (header.Count == 0)
        {
            return http.Features.Get<ITlsConnectionFeature>()?.ClientCertificate is { } certificate
                ? AuthenticateAsync(certificate, cancellationToken)
                : ValueTask.FromResult(Caller.Anonymous);
        }

        if (header.Count > 1 || header[0] is not { Length: <= LongestHeader } value)
        {
            return ValueTask.FromResult(Malformed);
        }

        if (value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase))
        {
            return AuthenticateAsync(value.AsSpan("Bearer ".Length).Trim(), cancellationToken);
        }

        if (value.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase))
        {
            Span<byte> bytes = stackalloc byte[LongestHeader];
            Span<char> pair = stackalloc char[LongestHeader];
            if (Convert.TryFromBase64Chars(value.AsSpan("Basic ".Length).Trim(), bytes, out var length))
            {
                var credentials = pair[..Encoding.Latin1.GetChars(bytes[..length], pair)];
                var colon = credentials.IndexOf(':');
                var password = credentials[(colon + 1)..];
                var user = colon < 0 ? [] : credentials[..colon];
                return AuthenticateAsync(
                    !password.StartsWith("slp_") && user.StartsWith("slp_") ? user : password,
                    cancellationToken);
            }
        }

        return ValueTask.FromResult(Malformed);
    }

    /// <summary>
    /// The caller of a client certificate that was verified when the connection was made: that of the key it names, as the key is now.
    /// </summary>
    private ValueTask<Caller> AuthenticateAsync(X509Certificate2 certificate, CancellationToken cancellationToken)
    {
        // A certificate is an object of its connection; reading the name out of it costs more than all the rest.
        var key = keysOfCertificates.GetValue(certificate, static one => new CertifiedKey(CertificateAuthority.KeyOf(one)));
        return key.Kind is not { } kind
            ? ValueTask.FromResult(Unnamed)
            : entriesBySpan.TryGetValue(key.Id, out var entry) && IsFresh(entry)
                ? ValueTask.FromResult(JudgeCertified(entry, kind))
                : LoadAndJudgeCertifiedAsync(kind, key.Id, cancellationToken);
    }

    /// <summary>Authenticates a token that came in some other way than the header.</summary>
    public ValueTask<Caller> AuthenticateAsync(ReadOnlySpan<char> text, CancellationToken cancellationToken)
    {
        if (!Token.TryParse(text, out var token))
        {
            return ValueTask.FromResult(Malformed);
        }

        if (entriesBySpan.TryGetValue(token.Id, out var entry) && IsFresh(entry))
        {
            Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
            token.HashSecret(hash);
            return ValueTask.FromResult(Judge(entry, token.Kind, hash));
        }

        var secretHash = new byte[SHA256.HashSizeInBytes];
        token.HashSecret(secretHash);
        return LoadAndJudgeAsync(token.Kind, token.Id.ToString(), secretHash, cancellationToken);
    }

    /// <summary>Decides once more, with what <paramref name="caller"/> may do by now: for uploads that outlive the first decision.</summary>
    public ValueTask<AccessDecision> DecideAgainAsync(
        Caller caller, Permission permission, string? org, string? resource, CancellationToken cancellationToken) =>
        DecideAgainAsync(caller, permission, org, resource, Freshness, cancellationToken);

    /// <summary>The same with what the database said within <paramref name="noOlderThan"/>, for who looks again and again.</summary>
    public async ValueTask<AccessDecision> DecideAgainAsync(
        Caller caller, Permission permission, string? org, string? resource, TimeSpan noOlderThan, CancellationToken cancellationToken) =>
        (await RefreshAsync(caller, noOlderThan, cancellationToken)).Decide(permission, org, resource);

    /// <summary>Drops everything remembered. Called after the commit of every change to an identity.</summary>
    public void Forget()
    {
        // An entry loaded before this moment carries an older epoch, even when its query is still under way.
        Interlocked.Increment(ref epoch);
        Interlocked.Exchange(ref forgotten, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }

    /// <summary>Completes at the next <see cref="Forget"/>, so that streams look at their credential at once.</summary>
    public Task Forgotten => Volatile.Read(ref forgotten).Task;

    /// <summary>The caller as they are now; with a failure when their credential is no longer good.</summary>
    internal ValueTask<Caller> RefreshAsync(Caller caller, CancellationToken cancellationToken) => RefreshAsync(caller, Freshness, cancellationToken);

    private async ValueTask<Caller> RefreshAsync(Caller caller, TimeSpan noOlderThan, CancellationToken cancellationToken)
    {
        if (caller.TokenId is not { } id)
        {
            return caller;
        }

        if (!entries.TryGetValue(id, out var entry) || !IsFresh(entry, noOlderThan))
        {
            entry = await LoadAsync(caller.Kind!.Value, id, cancellationToken);
        }

        return JudgeCertified(entry, caller.Kind!.Value);
    }

    private bool IsFresh(Entry entry) => IsFresh(entry, Freshness);

    private bool IsFresh(Entry entry, TimeSpan noOlderThan) =>
        entry.Epoch == Interlocked.Read(ref epoch) && time.GetElapsedTime(entry.LoadedAt) < noOlderThan;

    private async ValueTask<Caller> LoadAndJudgeAsync(TokenKind kind, string id, byte[] secretHash, CancellationToken cancellationToken) =>
        Judge(await LoadAsync(kind, id, cancellationToken), kind, secretHash);

    private async ValueTask<Caller> LoadAndJudgeCertifiedAsync(TokenKind kind, string id, CancellationToken cancellationToken) =>
        JudgeCertified(await LoadAsync(kind, id, cancellationToken), kind);

    private Caller JudgeCertified(Entry entry, TokenKind kind) => entry.Credential is null ? Unknown : Judge(entry, kind, entry.Credential.SecretHash);

    private async ValueTask<Entry> LoadAsync(TokenKind kind, string id, CancellationToken cancellationToken)
    {
        var epochBefore = Interlocked.Read(ref epoch);
        var loadedAt = time.GetTimestamp();
        var credential = await store.FindAsync(kind, id, cancellationToken);
        var entry = new Entry(kind, credential, epochBefore, loadedAt);
        if (entries.Count >= LargestCache)
        {
            entries.Clear();
        }

        entries[id] = entry;
        return entry;
    }

    private Caller Judge(Entry entry, TokenKind kind, ReadOnlySpan<byte> secretHash)
    {
        if (entry.Credential is not { } credential ||
            entry.Kind != kind ||
            !CryptographicOperations.FixedTimeEquals(credential.SecretHash, secretHash))
        {
            return Unknown;
        }

        if (credential.Revoked)
        {
            return Caller.Nobody(ProblemCodes.CredentialRevoked, "This credential was revoked.");
        }

        if (credential.Caller.ExpiresAt <= time.GetUtcNow())
        {
            return Caller.Nobody(ProblemCodes.CredentialExpired, "This credential has expired.");
        }

        if (credential.Disabled)
        {
            return Caller.Nobody(ProblemCodes.CredentialRevoked, "The account of this credential is disabled.");
        }

        // Once per load is once per second of use: exact enough, and nothing on the hot path.
        if (!entry.Noted)
        {
            entry.Noted = true;
            lastUse.Note(kind, credential.Caller.CredentialGuid);
        }

        return credential.Caller;
    }

    /// <summary>The key that a certificate names as <c>slp_u_…</c> or <c>slp_s_…</c>. Never a session: those are not for keeping.</summary>
    private sealed class CertifiedKey(string? name)
    {
        public TokenKind? Kind { get; } = name is ['s', 'l', 'p', '_', var kind and ('u' or 's'), '_', ..] ? (TokenKind)kind : null;

        public string Id { get; } = name?[6..] ?? "";
    }

    private sealed class Entry(TokenKind kind, StoredCredential? credential, long epoch, long loadedAt)
    {
        public TokenKind Kind => kind;

        public StoredCredential? Credential => credential;

        public long Epoch => epoch;

        public long LoadedAt => loadedAt;

        public bool Noted { get; set; }
    }
}
