-- Logins of credentials beside the one in their row: the next one while a rotation is under way, and
-- those from before a rotation.
create table logins (
    -- Its role within PostgreSQL, unique for ever.
    role text primary key,
    credential_id uuid not null references credentials,
    -- The rotation that made it the next one or a former one.
    operation_id uuid not null references operations,
    -- `next` or `former`.
    stage text not null,
    verifier text not null,
    -- Encrypted for the credential's row; nobody needs a former one's any more.
    password bytea,
    -- Of a next one: the participant that makes it, and the revision that it was told with.
    participant_id uuid references participants,
    revision bigint,
    -- Since when it is what it is.
    since timestamptz not null,
    -- Of a former one: until when it opens its database at most.
    until timestamptz,
    -- Since when it opens nothing any more. The row stays: the role may still be called so.
    revoked_at timestamptz,
    constraint logins_next_check check
        ((stage = 'next') = (password is not null and participant_id is not null and revision is not null)),
    constraint logins_former_check check ((stage = 'former') = (until is not null))
);
create unique index logins_next_key on logins (credential_id) where stage = 'next';
create index on logins (credential_id);
create index on logins (operation_id);
create index on logins (until) where stage = 'former' and revoked_at is null;
create index on logins (revoked_at);

-- A database that reads another's tables, by a credential of that which was made for it.
create table links (
    id uuid primary key,
    -- Where its foreign tables are, and in which incarnation of that.
    database_id uuid not null references databases,
    incarnation integer not null,
    -- Whose tables they are.
    remote_id uuid not null references databases,
    -- Of its server and its schema.
    name text not null,
    credential_id uuid not null references credentials,
    created_at timestamptz not null,
    -- When the agent had made it.
    made_at timestamptz,
    ended_at timestamptz
);
create unique index links_name_key on links (database_id, name) where ended_at is null;
create index on links (remote_id) where ended_at is null;
create index on links (credential_id);
