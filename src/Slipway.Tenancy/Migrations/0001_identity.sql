create table org (
    id           uuid primary key,
    name         text not null unique check (name ~ '^[a-z][a-z0-9-]{1,38}$'),
    display_name text not null,
    created_at   timestamptz not null,
    version      bigint not null default 1
);

create table user_account (
    id            uuid primary key,
    name          text not null unique check (name ~ '^[a-z][a-z0-9-]{1,38}$'),
    -- Null: can't sign in with a password (the superuser of the first start).
    password_hash text,
    status        text not null default 'active' check (status in ('active', 'disabled')),
    superuser     boolean not null default false,
    created_at    timestamptz not null,
    version       bigint not null default 1
);

create table membership (
    org_id  uuid not null references org (id),
    user_id uuid not null references user_account (id),
    -- 1 viewer, 2 member, 3 admin, 4 owner
    role    smallint not null check (role between 1 and 4),
    since   timestamptz not null,
    version bigint not null default 1,
    primary key (org_id, user_id)
);

create index membership_of_user on membership (user_id);

create table service_account (
    id         uuid primary key,
    org_id     uuid not null references org (id),
    name       text not null check (name ~ '^[a-z][a-z0-9-]{1,38}$'),
    -- Never owner: an org belongs to people.
    role       smallint not null check (role between 1 and 3),
    created_at timestamptz not null,
    version    bigint not null default 1,
    unique (org_id, name)
);

create table session (
    id           uuid primary key,
    token_id     text not null unique,
    secret_hash  bytea not null,
    user_id      uuid not null references user_account (id),
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    client       text
);

create index session_of_user on session (user_id, id);

create table api_key (
    id                 uuid primary key,
    token_id           text not null unique,
    secret_hash        bytea not null,
    name               text not null,
    user_id            uuid references user_account (id),
    service_account_id uuid references service_account (id) on delete cascade,
    scopes             text[] not null,
    created_at         timestamptz not null,
    expires_at         timestamptz not null,
    last_used_at       timestamptz,
    revoked_at         timestamptz,
    check (num_nonnulls(user_id, service_account_id) = 1)
);

create index api_key_of_user on api_key (user_id, id);
create index api_key_of_service_account on api_key (service_account_id, id);

-- Failed sign-ins, counted per account name and per network. Swept when a day old.
create table sign_in_throttle (
    subject       text primary key,
    failures      integer not null,
    last_at       timestamptz not null,
    blocked_until timestamptz not null
);
