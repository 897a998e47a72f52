-- Who used a cache how much, by the hour. Outlives the cache: what was used is used. About 100 bytes for each user and hour.
create table build_usage (
    hour           timestamptz not null,
    cache_id       uuid not null,
    org_id         uuid not null,
    cache_name     text not null,
    principal_id   text not null,
    principal_name text not null,
    calls          bigint not null,
    action_hits    bigint not null,
    action_misses  bigint not null,
    action_writes  bigint not null,
    blob_reads     bigint not null,
    blob_misses    bigint not null,
    blob_writes    bigint not null,
    bytes_down     bigint not null,
    bytes_up       bigint not null,
    took_us        bigint not null,
    longest_us     bigint not null,
    saved_us       bigint not null,
    primary key (cache_id, hour, principal_id)
);
create index build_usage_of_org on build_usage (org_id, hour);

-- One run of a build tool against one cache. Counters are added to, by any number of servers.
create table build_invocation (
    cache_id       uuid not null references build_cache (id) on delete cascade,
    sub            text not null,
    -- The client's own id; one of ours for clients that send none.
    id             text not null,
    principal_id   text not null,
    principal_name text not null,
    credential_id  text not null,
    tool           text not null,
    tool_version   text not null,
    correlated_id  text not null,
    first_seen     timestamptz not null,
    last_seen      timestamptz not null,
    calls          bigint not null,
    action_hits    bigint not null,
    action_misses  bigint not null,
    action_writes  bigint not null,
    blob_reads     bigint not null,
    blob_misses    bigint not null,
    blob_writes    bigint not null,
    bytes_down     bigint not null,
    bytes_up       bigint not null,
    took_us        bigint not null,
    longest_us     bigint not null,
    saved_us       bigint not null,
    primary key (cache_id, id, principal_id, sub)
);
create index build_invocation_by_time on build_invocation (cache_id, last_seen desc);
create index build_invocation_old on build_invocation (last_seen);

-- Action results that were asked for and not served.
create table build_miss (
    cache_id     uuid not null references build_cache (id) on delete cascade,
    sub          text not null,
    invocation   text not null,
    principal_id text not null,
    action_hash  bytea not null,
    action_size  bigint not null,
    reason       smallint not null,
    -- The first blob that an incomplete result lacks: as it is written, hash/size.
    missing_blob text,
    mnemonic     text not null,
    target       text not null,
    at           timestamptz not null
);
create index build_miss_of_action on build_miss (cache_id, action_hash, at desc);
create index build_miss_of_invocation on build_miss (cache_id, invocation);
create index build_miss_by_time on build_miss (cache_id, at);
create index build_miss_old on build_miss (at);

-- Who wrote the result of an action last. Also says that it once was here, when it is not any more.
create table build_producer (
    cache_id       uuid not null references build_cache (id) on delete cascade,
    sub            text not null,
    action_hash    bytea not null,
    action_size    bigint not null,
    invocation     text not null,
    principal_id   text not null,
    principal_name text not null,
    tool           text not null,
    mnemonic       text not null,
    target         text not null,
    cost_us        bigint not null,
    at             timestamptz not null,
    primary key (cache_id, action_hash, sub)
);
create index build_producer_of_target on build_producer (cache_id, target, mnemonic, at desc) where target <> '';
create index build_producer_old on build_producer (at);
