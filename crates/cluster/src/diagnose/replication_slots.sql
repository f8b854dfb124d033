-- Slots that nobody reads, with the WAL that they keep.
select 1 as severity, slot_name as slot, slot_type as type, coalesce(wal_status, '') as wal_status,
  coalesce(pg_size_pretty(pg_wal_lsn_diff(case when pg_is_in_recovery()
    then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn)), '') as kept
from pg_replication_slots
where not active and not temporary and (database is null or database = current_database())
order by 2 limit 20
