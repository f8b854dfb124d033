-- What people set of databases, when their servers may be restarted, and reports of how they fare.

-- What was changed with `pg:settings`. Without a row the default holds.
create table database_settings (
    database_id uuid not null references databases,
    name text not null,
    value jsonb not null,
    changed_at timestamptz not null,
    primary key (database_id, name)
);

-- When a database's server may be restarted, in UTC. Without a row it is a time that follows from
-- the database's id.
create table maintenance_windows (
    database_id uuid primary key references databases,
    -- 0 is Monday.
    day smallint not null check (day between 0 and 6),
    minute smallint not null check (minute between 0 and 1439)
);

-- What was or is to be done about the server of a database.
create table maintenances (
    id uuid primary key,
    database_id uuid not null references databases,
    participant_id uuid not null references participants,
    reason text not null,
    status text not null,
    noticed_at timestamptz not null,
    required_by timestamptz not null,
    scheduled_for timestamptz not null,
    previously_scheduled_for timestamptz,
    -- How many restarts were asked for of the participant with the one of this maintenance.
    restarts integer,
    started_at timestamptz,
    completed_at timestamptz
);
create unique index maintenances_one_at_a_time on maintenances (database_id)
    where completed_at is null;
create index on maintenances (database_id, completed_at desc);

-- Reports of `pg:diagnose`, for a month.
create table reports (
    id uuid primary key,
    app_id uuid not null references apps,
    database_id uuid not null references databases,
    report jsonb not null,
    created_at timestamptz not null
);
create index on reports (created_at);

-- Databases have settings from now on: agents are told.
update participants set revision = revision + 1 where removed_at is null;
