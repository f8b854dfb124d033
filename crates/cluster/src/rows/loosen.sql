do $loosen$
declare
  one record;
begin
  perform set_config('howdah.rows', 'on', true);
  if exists (select from pg_event_trigger where evtname = 'howdah_row_guard') then
    alter extension plpgsql drop event trigger howdah_row_guard;
    drop event trigger howdah_row_guard;
    alter extension plpgsql drop function pg_catalog.howdah_row_guard();
    drop function pg_catalog.howdah_row_guard();
  end if;
  if to_regclass('pg_catalog.howdah_revoked') is null then
    return;
  end if;
  perform set_config('lock_timeout', '250ms', true);
  -- What the owner gave comes before what others could give because of that.
  for one in
    select r.ctid as id, format('%I.%I', n.nspname, c.relname) as name, quote_ident(t.attname) as attname,
           case when r.grantor is not null then pg_get_userbyid(r.grantor) end as giver,
           case coalesce(r.grantee, c.relowner) when 0 then 'public'
             else quote_ident(pg_get_userbyid(coalesce(r.grantee, c.relowner))) end as taker,
           r.grantable and r.grantee is not null and r.grantee <> 0 as grantable,
           c.oid is not null and (r.attnum = 0 or t.attnum is not null)
             and (r.grantor is null or g.oid is not null)
             and (coalesce(r.grantee, 0) = 0 or h.oid is not null) as is_there
    from pg_catalog.howdah_revoked r
    left join pg_class c on c.oid = r.relation
    left join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute t on t.attrelid = r.relation and t.attnum = r.attnum and not t.attisdropped
    left join pg_roles g on g.oid = r.grantor
    left join pg_roles h on h.oid = r.grantee
    order by r.grantor is not null, r.grantable desc, random() limit 1000
  loop
    begin
      if one.is_there then
        if one.giver is not null then
          execute format('set local role %I', one.giver);
        end if;
        execute format('grant insert %s on table %s to %s %s', '(' || one.attname || ')', one.name,
                       one.taker, case when one.grantable then 'with grant option' end);
        set local role none;
      end if;
      delete from pg_catalog.howdah_revoked where ctid = one.id;
    exception
      when insufficient_privilege then
        -- Who gave it cannot give it any more.
        delete from pg_catalog.howdah_revoked where ctid = one.id;
      when others then
        -- It stays recorded; the next look tries it again.
        null;
    end;
  end loop;
  if not exists (select from pg_catalog.howdah_revoked) then
    perform set_config('allow_system_table_mods', 'on', true);
    alter extension plpgsql drop table pg_catalog.howdah_revoked;
    drop table pg_catalog.howdah_revoked;
  end if;
end
$loosen$
