-- Dumps that people sent, to be restored once.

create table uploads (
    -- That of the dump in the archive, as a transfer's.
    id uuid primary key,
    account_id uuid not null references accounts,
    -- Whose agent put it there.
    server_id uuid not null references servers,
    created_at timestamptz not null,
    -- When all of it was there.
    completed_at timestamptz
);
create index on uploads (created_at);

-- A dump need not be a backup any more.
alter table transfers drop constraint transfers_dump_id_fkey;
