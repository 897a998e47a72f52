-- The head of each chain. Its row is locked while a change appends, which is what makes seq free of gaps and the
-- order of seq the order of commits: a reader behind a cursor can't miss an event.
create table event_chain (
    -- The org; all zeros for the server's own chain.
    id        uuid primary key,
    head_seq  bigint not null,
    head_hash bytea not null
);

create table event (
    chain_id      uuid not null references event_chain (id),
    seq           bigint not null,
    at            timestamptz not null,
    action        text not null,
    actor_type    text not null,
    actor_id      text not null,
    actor_name    text not null,
    via           text not null,
    credential_id text,
    target_type   text not null,
    target_id     text not null,
    target_name   text not null,
    request_id    text,
    ip            text,
    -- The canonical JSON, exactly as it was hashed. The columns beside it are for looking things up.
    body          text not null,
    -- SHA-256(previous hash || body)
    hash          bytea not null,
    primary key (chain_id, seq)
);

create index event_action on event (chain_id, action, seq);
