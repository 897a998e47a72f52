using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Slipway.Api;

/// <summary>
/// The one JSON contract of the wire: camelCase, nulls left out, unknown fields in requests refused. Generated at build time, so
/// neither the CLI nor the server reflects.
/// </summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.Web,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(Problem))]
[JsonSerializable(typeof(JsonObject))]
[JsonSerializable(typeof(User))]
[JsonSerializable(typeof(Page<User>))]
[JsonSerializable(typeof(CreateUserRequest))]
[JsonSerializable(typeof(UpdateUserRequest))]
[JsonSerializable(typeof(SignInRequest))]
[JsonSerializable(typeof(SignedIn))]
[JsonSerializable(typeof(Session))]
[JsonSerializable(typeof(Page<Session>))]
[JsonSerializable(typeof(ChangePasswordRequest))]
[JsonSerializable(typeof(WhoAmI))]
[JsonSerializable(typeof(Org))]
[JsonSerializable(typeof(Page<Org>))]
[JsonSerializable(typeof(CreateOrgRequest))]
[JsonSerializable(typeof(UpdateOrgRequest))]
[JsonSerializable(typeof(Member))]
[JsonSerializable(typeof(Page<Member>))]
[JsonSerializable(typeof(SetMemberRequest))]
[JsonSerializable(typeof(ServiceAccount))]
[JsonSerializable(typeof(Page<ServiceAccount>))]
[JsonSerializable(typeof(CreateServiceAccountRequest))]
[JsonSerializable(typeof(Key))]
[JsonSerializable(typeof(Page<Key>))]
[JsonSerializable(typeof(IssueKeyRequest))]
[JsonSerializable(typeof(IssuedKey))]
[JsonSerializable(typeof(Page<ScopeDefinition>))]
[JsonSerializable(typeof(Event))]
[JsonSerializable(typeof(Page<Event>))]
[JsonSerializable(typeof(AuditVerification))]
[JsonSerializable(typeof(Store))]
[JsonSerializable(typeof(Page<Store>))]
[JsonSerializable(typeof(CreateStoreRequest))]
[JsonSerializable(typeof(FsckReport))]
[JsonSerializable(typeof(Cache))]
[JsonSerializable(typeof(Page<Cache>))]
[JsonSerializable(typeof(CreateCacheRequest))]
[JsonSerializable(typeof(UpdateCacheRequest))]
[JsonSerializable(typeof(SigningKey))]
[JsonSerializable(typeof(Page<SigningKey>))]
[JsonSerializable(typeof(NixPath))]
[JsonSerializable(typeof(Page<NixPath>))]
[JsonSerializable(typeof(MissingPathsRequest))]
[JsonSerializable(typeof(MissingPaths))]
[JsonSerializable(typeof(ArchiveEntry))]
[JsonSerializable(typeof(CreateArchiveRequest))]
[JsonSerializable(typeof(Archive))]
public sealed partial class ApiJson : JsonSerializerContext;
