using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Npgsql;
using Slipway.Api;

namespace Slipway.Tenancy;

/// <summary>Client certificates for keys that exist. Whoever may issue a key may have a certificate for it.</summary>
internal static class CertificateEndpoints
{
    /// <summary>A request with an RSA key of 8192 bits and the usual names is about 3 kB.</summary>
    private const int LongestRequest = 16 * 1024;

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapPost(Routes.KeyCertificate, (HttpContext http, string key, Changes changes, CertificateAuthority authority, CancellationToken cancellationToken) =>
            IssueAsync(http, KeyEndpoints.Own(http), key, changes, authority, cancellationToken))
            .RequireSession().Takes(typeof(IssueCertificateRequest)).Produces<IssuedCertificate>(201);
        endpoints.MapPost(Routes.ServiceAccountKeyCertificate, async (HttpContext http, string org, string account, string key, NpgsqlDataSource database, Changes changes, CertificateAuthority authority, CancellationToken cancellationToken) =>
            await IssueAsync(http, await KeyEndpoints.OfAsync(http, org, account, database, cancellationToken), key, changes, authority, cancellationToken))
            .RequirePermission(TenancyPermissions.ManageServiceAccounts).Takes(typeof(IssueCertificateRequest)).Produces<IssuedCertificate>(201);
    }

    private static async Task<IResult> IssueAsync(
        HttpContext http, KeyHolder holder, string key, Changes changes, CertificateAuthority authority, CancellationToken cancellationToken)
    {
        var (request, faults) = await http.ReadBodyAsync(ApiJson.Default.IssueCertificateRequest, cancellationToken);
        faults.Require(request.SigningRequest.Length is > 0 and <= LongestRequest, "/signingRequest", $"must be a certificate request in PEM of at most {LongestRequest} characters");
        faults.ThrowIfAny();
        var issued = await changes.CommitAsync(http, ApiJson.Default.IssuedCertificate, async (change, token) =>
        {
            var row = await KeyEndpoints.FindAsync(change.Connection, change.Transaction, holder, key, token);
            var shown = row.ToKey(holder.Name, change.Now);
            if (shown.Status != "active")
            {
                throw ApiException.Conflict($"The key {shown.Id} is {shown.Status}.", "Issue another key, and a certificate for that one.");
            }

            try
            {
                using var certificate = authority.Issue(request.SigningRequest, shown.Prefix, row.ExpiresAt);
                change.Record(holder.OrgId, "key.certified", row.ToTarget(), new JsonObject
                {
                    ["principal"] = holder.Name,
                    ["serial"] = certificate.SerialNumber,
                });
                return new IssuedCertificate(certificate.ExportCertificatePem() + "\n", authority.Pem + "\n", new DateTimeOffset(certificate.NotAfter.ToUniversalTime(), TimeSpan.Zero), shown);
            }
            catch (CryptographicException fault)
            {
                throw new ApiException(400, ProblemCodes.InvalidRequest, "The certificate request can't be used.", null, new FieldFault("/signingRequest", fault.Message));
            }
        }, cancellationToken);
        return Answers.Created(http, issued, ApiJson.Default.IssuedCertificate, http.Request.Path.Value![..^"/certificate".Length], null);
    }
}
