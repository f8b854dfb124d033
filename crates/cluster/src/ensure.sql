do $$ begin
  if pg_is_in_recovery() then
    return;
  end if;
  if not exists (select from pg_roles where rolname = 'howdah_replication' and rolcanlogin and rolreplication) then
    if not exists (select from pg_roles where rolname = 'howdah_replication') then
      create role howdah_replication;
    end if;
    alter role howdah_replication login replication nosuperuser nocreatedb nocreaterole nobypassrls noinherit password null connection limit -1;
  end if;
  if not has_function_privilege('howdah_replication', 'pg_read_binary_file(text, bigint, bigint, boolean)', 'execute') then
    grant connect on database postgres to howdah_replication;
    grant execute on function pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) to howdah_replication;
  end if;
  if to_regclass('howdah.canary') is null then
    create table howdah.canary (one boolean primary key default true check (one), number bigint not null, at timestamptz not null);
  end if;
  if to_regclass('howdah.rows') is null then
    create table howdah.rows (name text primary key, over_since timestamptz not null, until timestamptz not null, refused_since timestamptz);
  end if;
  if to_regclass('howdah.permissions') is null then
    create table howdah.permissions (role oid, database oid, owner oid not null, permission text not null, complete boolean not null, primary key (role, database));
  end if;
  if to_regclass('howdah.fills') is null then
    create table howdah.fills (oid oid primary key, transfer text not null, made text not null, at timestamptz not null default now());
  end if;
end $$
