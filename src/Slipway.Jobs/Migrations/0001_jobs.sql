-- Queues, schedules and long operations of tenants. The jobs themselves are in Redis, under the queue's id.

create table job_queue (
    id          uuid primary key,
    org_id      uuid not null references org (id),
    name        text not null,
    description text not null,
    -- The settings as the API shows them; Redis has a copy that workers go by.
    settings    jsonb not null,
    max_bytes   bigint not null,
    version     bigint not null default 1,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    unique (org_id, name)
);

create table job_schedule (
    id         uuid primary key,
    queue_id   uuid not null references job_queue (id) on delete cascade,
    name       text not null,
    cron       text not null,
    time_zone  text not null,
    catch_up   text not null check (catch_up in ('skip', 'once', 'all')),
    paused     boolean not null,
    -- Text and not jsonb: a payload is enqueued byte by byte as it was sent.
    job        text not null,
    version    bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- Slots up to here are not fired: nothing is caught up from before it was made or changed. The last one fired is in Redis, under the name.
    since      timestamptz not null,
    unique (queue_id, name)
);

create table job_operation (
    id               uuid primary key,
    queue_id         uuid not null references job_queue (id) on delete cascade,
    kind             text not null check (kind in ('redrive', 'purge')),
    ids              text[],
    reason           text,
    type             text,
    per_second       double precision,
    state            text not null check (state in ('running', 'done', 'failed', 'cancelled')),
    done             bigint not null default 0,
    error            text,
    cancel_requested boolean not null default false,
    -- The server that works on it says so each few seconds; another takes it over when it falls silent.
    runner           uuid not null,
    seen_at          timestamptz not null,
    created_at       timestamptz not null,
    finished_at      timestamptz
);

create index job_operation_running on job_operation (seen_at) where state = 'running';
create index job_operation_queue on job_operation (queue_id);
