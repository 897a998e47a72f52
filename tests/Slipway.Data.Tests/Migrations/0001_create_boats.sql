create table boat (
    id         uuid        primary key,
    name       text        not null,
    launched_at timestamptz
);
