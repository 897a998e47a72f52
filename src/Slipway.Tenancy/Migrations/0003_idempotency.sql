-- Answers to POSTs with an Idempotency-Key, kept for 24 hours. Written in the transaction of the effect.
create table idempotency_record (
    principal  text not null,
    route      text not null,
    key        text not null,
    -- HMAC, not a plain hash: bodies can hold passwords.
    body_hash  bytea not null,
    -- Sealed: answers can hold fresh tokens.
    response   bytea not null,
    created_at timestamptz not null,
    primary key (principal, route, key)
);

create index idempotency_record_created on idempotency_record (created_at);
