do $install$
begin
  perform set_config('howdah.rows', 'on', true);
  if to_regclass('pg_catalog.howdah_revoked') is null then
    perform set_config('allow_system_table_mods', 'on', true);
    create table pg_catalog.howdah_revoked (
      relation oid not null,
      attnum int2 not null,
      grantor oid,
      grantee oid,
      grantable boolean not null
    );
    revoke all on pg_catalog.howdah_revoked from public;
    alter extension plpgsql add table pg_catalog.howdah_revoked;
  end if;
  if not exists (select from pg_event_trigger where evtname = 'howdah_row_guard') then
    create or replace function pg_catalog.howdah_row_guard() returns event_trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $guard$
    declare
      filled text;
    begin
      if tg_tag like 'DROP %' then
        return;
      end if;
      -- What the platform does here for a tenant is refused as well, but not this file's neighbours.
      if session_user = 'howdah' and current_setting('howdah.rows', true) = 'on' then
        return;
      end if;
      select c.command_tag into filled from pg_event_trigger_ddl_commands() c
      where c.command_tag in ('CREATE TABLE AS', 'SELECT INTO', 'CREATE MATERIALIZED VIEW', 'REFRESH MATERIALIZED VIEW')
        and c.schema_name is distinct from 'pg_temp'
      limit 1;
      if filled is not null or exists (
{insertable}
      ) then
        raise insufficient_privilege using
          message = format('%s is refused: the database has more rows than its plan allows', coalesce(filled, tg_tag)),
          detail = 'Until then nothing is made or changed that takes new rows.',
          hint = 'Delete rows, or move to a larger plan: addons:create, pg:copy, pg:promote.';
      end if;
    end
    $guard$;
    create event trigger howdah_row_guard on ddl_command_end
      execute function pg_catalog.howdah_row_guard();
    alter event trigger howdah_row_guard enable always;
    alter extension plpgsql add function pg_catalog.howdah_row_guard();
    alter extension plpgsql add event trigger howdah_row_guard;
  end if;
end
$install$
