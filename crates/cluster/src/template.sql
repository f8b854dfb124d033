revoke connect, temporary on database postgres from public;
revoke connect, temporary on database template1 from public;
create schema howdah;
revoke all on schema howdah from public;
create table howdah.databases (oid oid primary key, name text not null unique, incarnation int not null, settings text[] not null default '{}', made_at timestamptz not null default now());
create table howdah.roles (name text primary key);
