namespace Slipway.Api;

/// <summary>Every route of the HTTP API, once: the server maps these templates and the client fills them in.</summary>
public static class Routes
{
    public const string Health = "/healthz";
    public const string Ready = "/readyz";
    public const string Metrics = "/metrics";
    public const string OpenApi = "/openapi/v1.json";

    public const string Sessions = "/v1/sessions";
    public const string Session = "/v1/sessions/{session}";
    public const string CurrentSession = "/v1/sessions/current";
    public const string WhoAmI = "/v1/whoami";
    public const string Password = "/v1/whoami/password";
    public const string Users = "/v1/users";
    public const string User = "/v1/users/{user}";
    public const string Scopes = "/v1/scopes";
    public const string Keys = "/v1/keys";
    public const string Key = "/v1/keys/{key}";
    public const string KeyCertificate = "/v1/keys/{key}/certificate";

    public const string Orgs = "/v1/orgs";
    public const string Org = "/v1/orgs/{org}";
    public const string Members = "/v1/orgs/{org}/members";
    public const string Member = "/v1/orgs/{org}/members/{user}";
    public const string ServiceAccounts = "/v1/orgs/{org}/service-accounts";
    public const string ServiceAccount = "/v1/orgs/{org}/service-accounts/{account}";
    public const string ServiceAccountKeys = "/v1/orgs/{org}/service-accounts/{account}/keys";
    public const string ServiceAccountKey = "/v1/orgs/{org}/service-accounts/{account}/keys/{key}";
    public const string ServiceAccountKeyCertificate = "/v1/orgs/{org}/service-accounts/{account}/keys/{key}/certificate";
    public const string OrgEvents = "/v1/orgs/{org}/events";
    public const string OrgEventStream = "/v1/orgs/{org}/events/stream";
    public const string OrgAudit = "/v1/orgs/{org}/audit/verification";
    public const string ServerEvents = "/v1/events";
    public const string ServerAudit = "/v1/audit/verification";

    public const string Stores = "/v1/stores";
    public const string Store = "/v1/stores/{store}";
    public const string StoreFsck = "/v1/stores/{store}/fsck";
    public const string StoreStats = "/v1/stores/{store}/stats";
    public const string StoreScrub = "/v1/stores/{store}/scrub";
    public const string StopStoreScrub = "/v1/stores/{store}/scrub/stop";
    public const string StoreCompaction = "/v1/stores/{store}/compaction";
    public const string Caches = "/v1/orgs/{org}/caches";
    public const string Cache = "/v1/orgs/{org}/caches/{cache}";
    public const string SigningKeys = "/v1/orgs/{org}/caches/{cache}/signing-keys";
    public const string SigningKey = "/v1/orgs/{org}/caches/{cache}/signing-keys/{name}";
    public const string Paths = "/v1/orgs/{org}/caches/{cache}/paths";
    public const string Path = "/v1/orgs/{org}/caches/{cache}/paths/{hash}";
    public const string MissingPaths = "/v1/orgs/{org}/caches/{cache}/missing-paths";
    public const string Archives = "/v1/orgs/{org}/caches/{cache}/archives";
    public const string Archive = "/v1/orgs/{org}/caches/{cache}/archives/{archive}";
    public const string ArchiveContent = "/v1/orgs/{org}/caches/{cache}/archives/{archive}/content";

    public const string BuildCaches = "/v1/orgs/{org}/build-caches";
    public const string BuildCache = "/v1/orgs/{org}/build-caches/{cache}";
    public const string BuildCacheStats = "/v1/orgs/{org}/build-caches/{cache}/stats";
    public const string BuildInvocations = "/v1/orgs/{org}/build-caches/{cache}/invocations";
    public const string BuildInvocation = "/v1/orgs/{org}/build-caches/{cache}/invocations/{invocation}";
    public const string BuildAction = "/v1/orgs/{org}/build-caches/{cache}/actions/{action}";
    public const string BuildBlob = "/v1/orgs/{org}/build-caches/{cache}/blobs/{digest}";
    public const string BuildBlobStat = "/v1/orgs/{org}/build-caches/{cache}/blobs/{digest}/stat";
    public const string BuildStages = "/v1/build-stages";
    public const string OrgBuildStage = "/v1/orgs/{org}/build-stage";

    public const string JobsOverview = "/v1/orgs/{org}/jobs";
    public const string OrgLease = "/v1/orgs/{org}/lease";
    public const string JobQueues = "/v1/orgs/{org}/queues";
    public const string JobQueue = "/v1/orgs/{org}/queues/{queue}";
    public const string PauseQueue = "/v1/orgs/{org}/queues/{queue}/pause";
    public const string ResumeQueue = "/v1/orgs/{org}/queues/{queue}/resume";
    public const string QueueStats = "/v1/orgs/{org}/queues/{queue}/stats";
    public const string QueueHistory = "/v1/orgs/{org}/queues/{queue}/history";
    public const string QueueLive = "/v1/orgs/{org}/queues/{queue}/live";
    public const string PeekQueue = "/v1/orgs/{org}/queues/{queue}/peek";
    public const string Jobs = "/v1/orgs/{org}/queues/{queue}/jobs";
    public const string BulkJobs = "/v1/orgs/{org}/queues/{queue}/jobs/bulk";
    public const string Job = "/v1/orgs/{org}/queues/{queue}/jobs/{job}";
    public const string JobProgress = "/v1/orgs/{org}/queues/{queue}/jobs/{job}/progress";
    public const string CancelJob = "/v1/orgs/{org}/queues/{queue}/jobs/{job}/cancel";
    public const string Lease = "/v1/orgs/{org}/queues/{queue}/lease";
    public const string Wake = "/v1/orgs/{org}/queues/{queue}/wake";
    public const string AckBlocks = "/v1/orgs/{org}/queues/{queue}/ack";
    public const string ExtendBlocks = "/v1/orgs/{org}/queues/{queue}/extend";
    public const string AckBlock = "/v1/orgs/{org}/queues/{queue}/blocks/{block}/ack";
    public const string ExtendBlock = "/v1/orgs/{org}/queues/{queue}/blocks/{block}/extend";
    public const string QueueWorkers = "/v1/orgs/{org}/queues/{queue}/workers";
    public const string QueueWorker = "/v1/orgs/{org}/queues/{queue}/workers/{worker}";
    public const string Batches = "/v1/orgs/{org}/queues/{queue}/batches";
    public const string Batch = "/v1/orgs/{org}/queues/{queue}/batches/{batch}";
    public const string CloseBatch = "/v1/orgs/{org}/queues/{queue}/batches/{batch}/close";
    public const string Schedules = "/v1/orgs/{org}/queues/{queue}/schedules";
    public const string Schedule = "/v1/orgs/{org}/queues/{queue}/schedules/{schedule}";
    public const string DeadLetters = "/v1/orgs/{org}/queues/{queue}/dead-letters";
    public const string RedriveDeadLetters = "/v1/orgs/{org}/queues/{queue}/dead-letters/redrive";
    public const string PurgeDeadLetters = "/v1/orgs/{org}/queues/{queue}/dead-letters/purge";
    public const string QueueOperation = "/v1/orgs/{org}/queues/{queue}/operations/{operation}";
    public const string CancelQueueOperation = "/v1/orgs/{org}/queues/{queue}/operations/{operation}/cancel";
}
