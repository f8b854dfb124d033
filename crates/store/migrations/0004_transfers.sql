-- Logical backups, restores and copies; schedules; the backup plans of apps.

alter table apps
    -- How many transfers it has had: the number of the newest one.
    add column transfers integer not null default 0;

alter table databases
    -- The transfer that has filled what is to be its incarnation, if one has.
    add column filled_by uuid;

-- What people see of a transfer, and what its agent is told.
create table transfers (
    -- That of its operation.
    id uuid primary key references operations,
    -- The app that owns the database.
    app_id uuid not null references apps,
    -- The database that is captured, or that gets what is copied.
    database_id uuid not null references databases,
    kind text not null,
    cause text not null,
    number integer not null,
    from_name text not null,
    to_name text not null,
    -- What is copied, beside the database that is captured: one of these.
    dump_id uuid references transfers,
    source_id uuid references databases,
    -- A URL. Encrypted, and forgotten at the end.
    source_url bytea,
    source_is text not null,
    extensions text[] not null default '{}',
    -- The schedule that wanted it; it may be gone. Without one it was the backup plan.
    schedule_id uuid,
    -- Whether the oldest manual backup makes room for it.
    expires boolean not null default false,
    -- What is read and what is filled, and whose agent does it, once that was chosen.
    from_participant_id uuid references participants,
    into_participant_id uuid references participants,
    server_id uuid references servers,
    -- How often the agent was told, and the number of an observation that knows of the last time.
    attempts integer not null default 0,
    told_change bigint,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    canceled_at timestamptz,
    succeeded boolean,
    processed_bytes bigint not null default 0,
    source_bytes bigint not null default 0,
    warnings integer not null default 0,
    tables bigint not null default 0,
    error text,
    log jsonb not null default '[]',
    -- Nobody sees it any more, and its dump is to be erased.
    deleted_at timestamptz,
    -- When an agent said that its dump is gone.
    erased_at timestamptz,
    constraint transfers_number_key unique (app_id, number)
);
create index on transfers (database_id);
create index on transfers (dump_id) where dump_id is not null and finished_at is null;
create index on transfers (finished_at) where kind = 'backup' and erased_at is null;

-- Daily backups that people asked for.
create table schedules (
    id uuid primary key,
    -- The app that owns the database.
    app_id uuid not null references apps,
    database_id uuid not null references databases,
    -- The config var that it was asked for with, such as DATABASE_URL.
    name text not null,
    -- Whether that led to the database: then whatever it leads to at the time is captured.
    by_name boolean not null,
    hour smallint not null,
    zone text not null,
    next_at timestamptz not null,
    created_at timestamptz not null,
    constraint schedules_key unique (app_id, name, hour, zone)
);
create index on schedules (next_at);

-- The add-on `pgbackups`. An app without a row has the built-in plan.
create table backup_plans (
    app_id uuid primary key references apps,
    id uuid not null unique,
    name text not null unique,
    plan text not null,
    -- When the plan captures the primary by itself.
    next_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on backup_plans (next_at);
