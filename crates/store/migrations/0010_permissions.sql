-- What the platform lets a named credential do with the tables of its database: `none`, `readonly` or
-- `readwrite`.
alter table credentials add column permission text not null default 'none';
