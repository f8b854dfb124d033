select c.oid as relation, 0::int2 as attnum, c.relowner as owner, a.grantor, a.grantee, a.is_grantable
from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and c.oid >= 16384
  and a.privilege_type = 'INSERT'
  and not exists (select from pg_roles r where r.oid = a.grantee and r.rolsuper)
union all
select c.oid, t.attnum, c.relowner, a.grantor, a.grantee, a.is_grantable
from pg_attribute t join pg_class c on c.oid = t.attrelid, aclexplode(t.attacl) a
where t.attacl is not null and not t.attisdropped
  and c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and c.oid >= 16384
  and a.privilege_type = 'INSERT'
  and not exists (select from pg_roles r where r.oid = a.grantee and r.rolsuper)
