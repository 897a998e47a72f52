-- A build cache: a tenant's namespace for blobs and action results. What it holds lies in the content store, in segments of its own.

create table build_cache (
    id               uuid primary key,
    org_id           uuid not null references org (id),
    name             text not null,
    -- Bytes on disk. Null: as much as the store takes.
    quota_bytes      bigint check (quota_bytes > 0),
    -- What nobody used for so long goes. Null: only the quota decides.
    retention_days   integer check (retention_days between 1 and 3650),
    max_blob_bytes   bigint not null check (max_blob_bytes > 0),
    validate_actions boolean not null,
    anonymous_read   boolean not null,
    asset_hosts      text[] not null,
    version          bigint not null default 1,
    created_at       timestamptz not null,
    unique (org_id, name)
);

-- How far an org may go. No row: the server's buildcache.defaultStage.
create table build_stage (
    org_id   uuid primary key references org (id),
    stage    text not null check (stage in ('invisible', 'visible', 'beta', 'paid')),
    version  bigint not null default 1,
    moved_at timestamptz not null
);

-- Goes up in the transaction of every change above. Servers keep all of it in memory and look at this number once a second.
create table build_cache_epoch (
    only_row boolean primary key default true check (only_row),
    epoch    bigint not null
);
insert into build_cache_epoch (epoch) values (1);
