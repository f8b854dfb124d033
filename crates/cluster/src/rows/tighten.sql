do $tighten$
declare
  one record;
  who oid;
begin
  perform set_config('lock_timeout', '250ms', true);
  perform set_config('howdah.rows', 'on', true);
  for one in
    select i.relation, format('%I.%I', n.nspname, c.relname) as name,
           array_agg(i.attnum) as attnums, array_agg(nullif(i.grantor, i.owner)) as grantors,
           array_agg(nullif(i.grantee, i.owner)) as grantees,
           array_agg(i.is_grantable) as grantables, array_agg(distinct i.grantee) as holders
    from (
{insertable}
    ) i join pg_class c on c.oid = i.relation join pg_namespace n on n.oid = c.relnamespace
    group by i.relation, n.nspname, c.relname
    -- Few at a time, and not always those first that somebody holds.
    order by random() limit 1000
  loop
    begin
      insert into pg_catalog.howdah_revoked
      select one.relation, u.* from unnest(one.attnums, one.grantors, one.grantees, one.grantables) u;
      foreach who in array one.holders loop
        execute format('revoke insert on table %s from %s cascade', one.name,
                       case who when 0 then 'public' else quote_ident(pg_get_userbyid(who)) end);
      end loop;
      if to_regclass(one.name) is distinct from one.relation then
        raise exception 'it has another name now';
      end if;
    exception when others then
      -- The caller counts what is left; the next look tries it again.
      null;
    end;
  end loop;
end
$tighten$
