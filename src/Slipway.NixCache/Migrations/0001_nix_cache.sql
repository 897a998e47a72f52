-- Stores are physical places, caches are tenants' namespaces in one of them.

create table content_store (
    id         uuid primary key,
    name       text not null unique,
    kind       text not null check (kind in ('disk')),
    path       text not null unique,
    created_at timestamptz not null
);

create table nix_cache (
    id              uuid primary key,
    org_id          uuid not null references org (id),
    name            text not null,
    store_id        uuid not null references content_store (id),
    public          boolean not null,
    priority        integer not null check (priority between 0 and 1000),
    reference_check text not null check (reference_check in ('strict', 'record')),
    version         bigint not null default 1,
    created_at      timestamptz not null,
    unique (org_id, name)
);

create table nix_signing_key (
    cache_id   uuid not null references nix_cache (id) on delete cascade,
    name       text not null,
    public_key bytea not null check (length(public_key) = 32),
    -- The 32 byte seed, sealed with the server's master key. Never leaves the server.
    seed       bytea not null,
    created_at timestamptz not null,
    retired_at timestamptz,
    primary key (cache_id, name)
);

-- A verified NAR file that belongs to a cache. The bytes lie in the cache's store under file_hash, shared or not: a cache only
-- ever knows the files it was given itself.
create table nix_nar (
    cache_id     uuid not null references nix_cache (id) on delete cascade,
    file_hash    bytea not null check (length(file_hash) = 32),
    file_size    bigint not null,
    compression  text not null,
    nar_hash     bytea not null check (length(nar_hash) = 32),
    nar_size     bigint not null,
    -- The .ls document, zstd.
    listing      bytea not null,
    -- Every 20 byte hash the NAR's bytes spell, until a narinfo has been checked against it. Null: scan the file again.
    candidates   bytea,
    uploaded_at  timestamptz not null,
    primary key (cache_id, file_hash)
);

create table nix_path (
    cache_id     uuid not null references nix_cache (id) on delete cascade,
    hash         bytea not null check (length(hash) = 20),
    name         text not null,
    file_hash    bytea not null,
    -- What clients are served: complete, signed.
    narinfo      bytea not null,
    undeclared   text[] not null,
    pushed_by    text not null,
    pushed_via   text not null,
    pushed_at    timestamptz not null,
    primary key (cache_id, hash),
    foreign key (cache_id, file_hash) references nix_nar (cache_id, file_hash)
);
create index nix_path_file on nix_path (cache_id, file_hash);

-- The closure rule, kept by the database itself: no path without its references, no reference removed under a path.
create table nix_reference (
    cache_id  uuid not null,
    hash      bytea not null,
    reference bytea not null,
    primary key (cache_id, hash, reference),
    foreign key (cache_id, hash) references nix_path (cache_id, hash) on delete cascade,
    foreign key (cache_id, reference) references nix_path (cache_id, hash)
);
create index nix_reference_by_reference on nix_reference (cache_id, reference);

create table nix_log (
    cache_id    uuid not null references nix_cache (id) on delete cascade,
    derivation  text not null,
    digest      bytea not null check (length(digest) = 32),
    size        bigint not null,
    uploaded_at timestamptz not null,
    primary key (cache_id, derivation)
);

create table nix_realisation (
    cache_id    uuid not null references nix_cache (id) on delete cascade,
    id          text not null,
    body        text not null,
    uploaded_at timestamptz not null,
    primary key (cache_id, id)
);

create table nix_archive (
    id          uuid primary key,
    cache_id    uuid not null references nix_cache (id) on delete cascade,
    owner_id    uuid not null,
    resume_key  text not null,
    paths       integer not null,
    state       text not null check (state in ('uploading', 'queued', 'running', 'done', 'failed')),
    paths_added integer not null default 0,
    size        bigint not null default 0,
    problem     jsonb,
    -- Who asked, as ChangeOrigin: the job acts in their name.
    origin      jsonb not null,
    created_at  timestamptz not null,
    touched_at  timestamptz not null,
    finished_at timestamptz
);
create unique index nix_archive_resume on nix_archive (cache_id, owner_id, resume_key) where state = 'uploading';
create index nix_archive_open on nix_archive (state, touched_at) where state in ('uploading', 'queued', 'running');

-- The sweep asks by digest, across caches.
create index nix_nar_by_file on nix_nar (file_hash);
create index nix_nar_by_upload on nix_nar (uploaded_at);
create index nix_log_by_digest on nix_log (digest);
-- Lists are newest first.
create index nix_path_by_time on nix_path (cache_id, pushed_at desc, hash desc);
