do $permit$
declare
  who oid := (select oid from pg_authid where rolname = '@role@');
  owner oid := (select datdba from pg_database where datname = current_database());
  platform oid := (select oid from pg_authid where rolname = current_user);
  on_tables text[] := case '@permission@' when 'readonly' then array['SELECT']
    when 'readwrite' then array['DELETE', 'INSERT', 'SELECT', 'UPDATE'] else '{}' end;
  on_sequences text[] := case '@permission@' when 'readonly' then array['SELECT']
    when 'readwrite' then array['SELECT', 'USAGE'] else '{}' end;
  on_schemas text[] := case '@permission@' when 'none' then '{}' else array['USAGE'] end;
  one record;
  changed int := 0;
  failed int := 0;
begin
  -- What is made from here on has it by itself, so nothing comes in between.
  for one in
    values ('tables', on_tables), ('sequences', on_sequences), ('schemas', on_schemas)
  loop
    execute format('alter default privileges for role %I revoke all on %s from @role@ cascade',
                   pg_get_userbyid(owner), one.column1);
    if one.column2 <> '{}' then
      execute format('alter default privileges for role %I grant %s on %s to @role@',
                     pg_get_userbyid(owner), array_to_string(one.column2, ', '), one.column1);
    end if;
  end loop;
  commit;
  -- Few at a time, and only what is not right yet: a repetition goes on where this one ends.
  for one in
    with mine as (
      select n.oid, n.nspname, n.nspowner, n.nspacl from pg_namespace n
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and n.nspowner <> platform
    ), things as (
      select null::oid as relation, 'schema' as kind, quote_ident(n.nspname) as name,
             n.nspacl as acl, on_schemas as rights
      from mine n where n.nspowner <> who
      union all
      select c.oid, case c.relkind when 'S' then 'sequence' else 'table' end,
             format('%I.%I', n.nspname, c.relname), c.relacl,
             case c.relkind when 'S' then on_sequences else on_tables end
      from pg_class c join mine n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't'
        and c.relowner not in (platform, who)
    )
    select t.*, have <> '{}' as has_some from things t, lateral (
      select array(select a.privilege_type || case when a.is_grantable then '*' else '' end
                   from aclexplode(t.acl) a where a.grantee = who order by 1) as have
    ) h
    where have <> rights
  loop
    begin
      if one.has_some then
        execute format('revoke all on %s %s from @role@ cascade', one.kind, one.name);
      end if;
      if one.rights <> '{}' then
        execute format('grant %s on %s %s to @role@', array_to_string(one.rights, ', '), one.kind,
                       one.name);
      end if;
      if one.relation is not null and to_regclass(one.name) is distinct from one.relation::regclass then
        raise exception 'it has another name now';
      end if;
    exception
      when undefined_table or invalid_schema_name then
        -- It is not there any more.
        null;
      when others then
        failed := failed + 1;
        exit when failed >= 5;
    end;
    changed := changed + 1;
    if changed % 100 = 0 then
      commit;
    end if;
  end loop;
  if failed > 0 then
    commit;
    raise exception using errcode = 'lock_not_available', message =
      'some of its tables are being changed by others; what they may do follows when that ends';
  end if;
end
$permit$
