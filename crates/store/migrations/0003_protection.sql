-- Copies of databases, followers, what is kept of destroyed ones, and what went wrong.

alter table timelines
    -- Set when nobody leads it any more: its archive is erased after this time.
    add column keep_until timestamptz,
    -- When an agent said that its archive is gone.
    add column erased_at timestamptz;
create index on timelines (keep_until) where keep_until is not null and erased_at is null;

alter table participants
    -- The history that its data is made from; null for an empty cluster.
    add column source jsonb,
    -- Of a follower: whom it follows.
    add column leader_id uuid references participants,
    -- How many base backups and drills were asked for beside the schedule.
    add column backups integer not null default 0,
    add column drills integer not null default 0,
    -- Whether its server shall run.
    add column run text not null default 'up',
    add constraint participants_leader_check check ((role = 'follower') = (leader_id is not null));
create index on participants (timeline_id);

alter table databases
    drop constraint databases_name_key,
    -- The database that it follows now.
    add column follows_id uuid references databases,
    -- The name by which clients open it, where that is not its name within PostgreSQL.
    add column known_as text,
    -- The name that it has in the data that it was made from.
    add column adopts text,
    -- As what it was made from another, from which, and how people knew that one then.
    add column origin text,
    add column origin_id uuid references databases,
    add column origin_name text,
    -- When it stopped to be wanted, in which incarnation it was then, under which names it was
    -- attached, and until when it can be brought back.
    add column withdrawn_at timestamptz,
    add column kept_incarnation integer,
    add column kept_names jsonb,
    add column keep_until timestamptz,
    add constraint databases_origin_check check ((origin is null) = (origin_id is null));
-- A follower has its leader's name, in another participant; so has one that was brought back.
create unique index databases_name_key on databases (participant_id, name) where removed_at is null;
create index on databases (name);
create unique index databases_known_as_key on databases (known_as) where removed_at is null;
create index on databases (follows_id) where follows_id is not null;
create index on databases (origin_id) where origin_id is not null;
create index on databases (addon_name, withdrawn_at desc) where withdrawn_at is not null;

-- What went wrong with the protection of data, and for how long.
create table incidents (
    id uuid primary key,
    kind text not null,
    -- About one participant or about a whole server.
    participant_id uuid references participants,
    server_id uuid not null references servers,
    what text not null,
    began_at timestamptz not null,
    ended_at timestamptz
);
create unique index incidents_one_of_a_kind
    on incidents (server_id, coalesce(participant_id, server_id), kind) where ended_at is null;
create index on incidents (began_at desc);

-- What agents are told has more in it now: each is told anew.
update participants set revision = revision + 1 where removed_at is null;
