-- Where in a planned move a database is. Without a row, and after `until`, its sessions go on as
-- always: what began a move may have died, and must not hold a database for ever.
create table stages (
    database_id uuid primary key references databases on delete cascade,
    stage text not null,
    -- Of `prepare`: the participant whose server will be next.
    next_id uuid references participants,
    -- Of `hold`: for how long what runs may go on, in milliseconds.
    grace_ms bigint,
    until timestamptz not null,
    constraint stages_next_check check ((stage = 'prepare') = (next_id is not null)),
    constraint stages_grace_check check ((stage = 'hold') = (grace_ms is not null))
);
