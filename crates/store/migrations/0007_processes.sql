-- What an app shall run: one row for each process type of its newest Procfile.
create table formation (
    id uuid not null unique,
    app_id uuid not null references apps on delete cascade,
    type text not null,
    command text not null,
    quantity integer not null constraint formation_quantity_check check (quantity between 0 and 100),
    -- A word for those who ask; a runner's machine has no sizes.
    size text not null,
    updated_at timestamptz not null,
    primary key (app_id, type)
);
