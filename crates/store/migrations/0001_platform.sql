-- The platform's own state. Every noun is one table; every state machine has one row in `machines`.

create table accounts (
    id uuid primary key,
    email text not null,
    name text,
    -- Argon2id; null for an account that only has tokens.
    password_hash text,
    created_at timestamptz not null
);
create unique index accounts_email_key on accounts (lower(email));

create table tokens (
    id uuid primary key,
    account_id uuid not null references accounts on delete cascade,
    -- SHA-256 of the token; tokens are random, so that a slow hash would only cost time.
    hash bytea not null constraint tokens_hash_key unique,
    description text not null,
    created_at timestamptz not null,
    expires_at timestamptz
);
create index on tokens (account_id);

create table ssh_keys (
    id uuid primary key,
    account_id uuid not null references accounts on delete cascade,
    fingerprint text not null,
    public_key text not null,
    comment text not null,
    created_at timestamptz not null,
    constraint ssh_keys_fingerprint_key unique (account_id, fingerprint)
);

create table apps (
    id uuid primary key,
    name text not null,
    owner_id uuid not null references accounts,
    region text not null,
    maintenance boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- Set once; the row stays for the history and for the databases that are still going away.
    destroyed_at timestamptz
);
create unique index apps_name_key on apps (name) where destroyed_at is null;
create index on apps (owner_id);

create table collaborators (
    app_id uuid not null references apps on delete cascade,
    account_id uuid not null references accounts on delete cascade,
    created_at timestamptz not null,
    primary key (app_id, account_id)
);

-- What people set themselves. The URLs of databases are not here: they are made from attachments
-- and credentials when they are read.
create table config_vars (
    app_id uuid not null references apps on delete cascade,
    name text not null,
    -- Encrypted.
    value bytea not null,
    primary key (app_id, name)
);

create table servers (
    id uuid primary key,
    name text not null constraint servers_name_key unique,
    region text not null,
    -- Where its agent listens: the path of a unix socket, or an https URL.
    agent text not null,
    created_at timestamptz not null
);

-- One history of WAL. It outlives its databases; forks and rollbacks have a parent.
create table timelines (
    id uuid primary key,
    parent_id uuid references timelines,
    branch_lsn pg_lsn,
    major smallint not null,
    created_at timestamptz not null
);

create table participants (
    id uuid primary key,
    server_id uuid not null references servers,
    timeline_id uuid not null references timelines,
    role text not null,
    wanted text not null,
    epoch integer not null default 1,
    -- Grows with every change of anything that the agent is told.
    revision bigint not null default 1,
    major smallint not null,
    -- The plan that its settings are made for.
    plan text not null,
    -- Holds the databases of many.
    shared boolean not null,
    -- Made in advance and not given to a database yet.
    pooled boolean not null,
    restarts integer not null default 0,
    expected_disruption_until timestamptz,
    -- The newest revision that its agent took with `wanted = absent`, and the number of an
    -- observation that was made after that: only from there on does absence mean that it is gone.
    told_revision bigint,
    told_change bigint,
    -- The directory of its unix socket, as its agent said it the last time.
    socket_dir text,
    created_at timestamptz not null,
    removed_at timestamptz
);
create index on participants (server_id) where removed_at is null;

create table databases (
    id uuid primary key,
    -- The name of the add-on.
    addon_name text not null,
    app_id uuid not null references apps,
    plan text not null,
    major smallint not null,
    wanted text not null,
    -- Null until it has been placed.
    participant_id uuid references participants,
    -- Its name within PostgreSQL, unique for ever.
    name text not null constraint databases_name_key unique,
    incarnation integer not null default 1,
    -- The revision of its participant that carries the newest change of the database.
    revision bigint not null default 0,
    -- Created in it when an incarnation is made.
    extensions text[] not null default '{}',
    created_at timestamptz not null,
    removed_at timestamptz
);
create unique index databases_addon_name_key on databases (addon_name) where removed_at is null;
create index on databases (app_id) where removed_at is null;
create index on databases (participant_id) where removed_at is null;

create table credentials (
    id uuid primary key,
    database_id uuid not null references databases,
    name text not null,
    -- Its role within PostgreSQL, unique for ever.
    role text not null constraint credentials_role_key unique,
    -- Encrypted.
    password bytea not null,
    verifier text not null,
    created_at timestamptz not null,
    revoked_at timestamptz
);
create unique index credentials_name_key on credentials (database_id, name) where revoked_at is null;
create index on credentials (revoked_at);

create table attachments (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    database_id uuid not null references databases,
    name text not null,
    -- Null for the default credential, else `credential:NAME`.
    namespace text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint attachments_name_key unique (app_id, name)
);
create index on attachments (database_id);

create table operations (
    id uuid primary key,
    kind text not null,
    database_id uuid not null references databases,
    app_id uuid not null references apps,
    account_id uuid references accounts,
    -- What was asked for, for the kinds that take arguments.
    arguments jsonb not null default '{}',
    -- The incarnation that a reset asked for, once it has.
    incarnation integer,
    cancelled_at timestamptz,
    outcome text not null default 'running',
    created_at timestamptz not null,
    finished_at timestamptz
);
create unique index operations_one_of_a_kind on operations (database_id, kind)
    where finished_at is null;
create index on operations (app_id, created_at desc);

create table releases (
    id uuid primary key,
    app_id uuid not null references apps on delete cascade,
    version integer not null,
    description text not null,
    -- Null for a release that the platform made by itself.
    account_id uuid references accounts,
    -- The operation that made it, so that a repeated effect makes no second one.
    operation_id uuid references operations,
    -- Encrypted JSON object of the config vars that people had set at that moment.
    config bytea not null,
    addon_plan_names text[] not null,
    created_at timestamptz not null,
    constraint releases_version_key unique (app_id, version)
);
create index on releases (operation_id);

-- Where each state machine is. Its id is the id of its participant, database or operation.
create table machines (
    id uuid primary key,
    -- The order in which they were made.
    serial bigint generated always as identity,
    kind text not null,
    state text not null,
    since timestamptz not null,
    -- At its end: never looked at again.
    over boolean not null default false,
    -- Effects tried since the state was entered, or since there was nothing to do.
    attempt integer not null default 0,
    wake_at timestamptz not null,
    -- The worker's claim: a random token, and until when it holds.
    lease uuid,
    lease_until timestamptz,
    last_error text
);
create index machines_due on machines (wake_at) where not over and lease is null;
create index machines_leased on machines (lease_until) where not over and lease is not null;

-- Machines that something has changed for. A claim takes the row away, so that one which arrives
-- during a tick is not slept over. To insert one takes no lock on the machine, so that machines
-- which wake each other cannot wait for each other in a circle.
create table wakes (
    id bigint generated always as identity primary key,
    machine_id uuid not null
);
create index on wakes (machine_id);

-- Every change of state, with its reason.
create table transitions (
    id bigint generated always as identity primary key,
    machine_id uuid not null references machines on delete cascade,
    kind text not null,
    from_state text,
    to_state text not null,
    reason text not null,
    at timestamptz not null
);
create index on transitions (machine_id, id);

-- What was seen of a database (K4, K5): one row a minute, and one at every change of availability.
create table observations (
    id bigint generated always as identity primary key,
    database_id uuid not null references databases on delete cascade,
    at timestamptz not null,
    services_available boolean not null,
    connections bigint,
    row_count bigint,
    table_count bigint,
    seq_scans bigint,
    index_scans bigint,
    size_bytes bigint
);
create index on observations (database_id, at desc);

-- Answers of requests that change something, for clients that send a request again (M21).
create table answered_requests (
    account_id uuid not null references accounts on delete cascade,
    request_id text not null,
    method text not null,
    path text not null,
    status smallint not null,
    -- Encrypted, as an answer may carry a password.
    body bytea not null,
    at timestamptz not null,
    primary key (account_id, request_id, method, path)
);
create index on answered_requests (at);
