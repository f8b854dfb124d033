-- Where commits are not waited for.
select 1 as severity, coalesce(r.rolname, '') as credential, setting
from pg_db_role_setting s
  left join pg_roles r on r.oid = s.setrole
  cross join lateral unnest(s.setconfig) as setting
where (s.setdatabase = (select oid from pg_database where datname = current_database())
    or (s.setdatabase = 0 and has_database_privilege(s.setrole, current_database(), 'CONNECT')))
  and setting ~* '^synchronous_commit=(off|false|no|0)$'
order by 2
