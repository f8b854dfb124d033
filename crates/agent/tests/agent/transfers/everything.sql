-- What a tenant can have in a database, on every major version.
create schema "odd "" schema";
create schema "Schlüssel 🗝";
create domain positive as int check (value > 0);
create domain named as text collate "C" not null default 'nobody';
create type mood as enum ('sad', 'it''s ok', 'Größe');
create type pair as (a int, b text);
create type span as range (subtype = float8, subtype_diff = float8mi);

create table types (
    id int generated always as identity primary key,
    a_bool bool, a_int2 int2, a_int4 int4, a_int8 int8, a_float4 float4, a_float8 float8,
    a_numeric numeric, a_numeric2 numeric(20, 5), a_money money, a_text text, a_varchar varchar(20),
    a_char char(5), a_name name, an_internal "char", a_bytea bytea, a_date date, a_time time,
    a_timetz timetz, a_timestamp timestamp, a_timestamptz timestamptz, an_interval interval,
    a_uuid uuid, a_json json, a_jsonb jsonb, a_jsonpath jsonpath, an_xml xml, an_inet inet,
    a_cidr cidr, a_macaddr macaddr, a_macaddr8 macaddr8, a_bit bit(5), a_varbit varbit, a_point point,
    a_line line, an_lseg lseg, a_box box, a_path path, a_polygon polygon, a_circle circle,
    a_tsvector tsvector, a_tsquery tsquery, a_lsn pg_lsn, a_snapshot pg_snapshot, an_oid oid,
    an_xid xid, a_tid tid, an_int4range int4range, a_numrange numrange, a_tstzrange tstzrange,
    a_daterange daterange, an_int4multirange int4multirange, a_span span, a_mood mood, moods mood[],
    a_pair pair, pairs pair[], a_positive positive, a_named named, matrix int[][], texts text[],
    doubled int generated always as (a_int4 * 2) stored
);
insert into types (
    a_bool, a_int2, a_int4, a_int8, a_float4, a_float8, a_numeric, a_numeric2, a_money, a_text,
    a_varchar, a_char, a_name, an_internal, a_bytea, a_date, a_time, a_timetz, a_timestamp,
    a_timestamptz, an_interval, a_uuid, a_json, a_jsonb, a_jsonpath, an_xml, an_inet, a_cidr,
    a_macaddr, a_macaddr8, a_bit, a_varbit, a_point, a_line, an_lseg, a_box, a_path, a_polygon,
    a_circle, a_tsvector, a_tsquery, a_lsn, a_snapshot, an_oid, an_xid, a_tid, an_int4range,
    a_numrange, a_tstzrange, a_daterange, an_int4multirange, a_span, a_mood, moods, a_pair, pairs,
    a_positive, a_named, matrix, texts
) select
    n % 2 = 0, n, n * 1000, n * 10000000000, n / 7.0::float4, n / 7.0::float8, 'NaN', n / 3.0, n::money,
    E'line\n\ttab \\ back ' || n || ' ünï 🗝', 'v' || n, 'c', 'a name', 'x', '\xdeadbeef00'::bytea,
    '4713-01-01 BC', '24:00', '12:00+02', 'infinity', '2024-02-29 23:59:59.999999+00',
    '1 year 2 mons -3 days 04:05:06.7', '00000000-0000-0000-0000-000000000001', '{"a":  1}',
    '{"a": [1, null, "x"]}', '$.a[*]', '<a>1</a>', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03',
    '08:00:2b:01:02:03:04:05', b'10101', b'1', '(1,2)', '{1,2,3}', '[(0,0),(1,1)]', '((0,0),(1,1))',
    '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),5>', 'a fat cat', 'fat & cat', '0/16B3748',
    '10:20:10,14', 4294967295, '42', '(0,1)', '[1,10)', '(,5.5]', '[2024-01-01,)', 'empty',
    '{[1,3),[5,7)}', '[0.5,1.5]', 'it''s ok', '{sad,Größe}', '(1,"x, y")', '{"(1,a)","(2,)"}',
    n, 'n' || n, '{{1,2},{3,NULL}}', '{"a,b","NULL",NULL,"\"q\""}'
from generate_series(1, 50) n;
insert into types default values;

create table "odd "" schema"."Table with a very long name that is cut by PostgreSQL at 63 byt" (
    "select" int primary key, "a "" column; --" text default 'it''s', "Ünïcode 🗝" text
);
insert into "odd "" schema"."Table with a very long name that is cut by PostgreSQL at 63 byt"
    values (1, 'x', 'y'), (2, null, '');
create table "Schlüssel 🗝"."%s \' table" (x int);
create sequence counted start 5 increment 5;
select nextval('counted'), nextval('counted');

create table parent (id serial primary key, at date not null default '2024-01-01');
create table child (extra text) inherits (parent);
insert into parent default values;
insert into child (extra) values ('inherited');

create table parts (id int, region text, primary key (id, region)) partition by list (region);
create table parts_eu partition of parts for values in ('eu') partition by range (id);
create table parts_eu_1 partition of parts_eu for values from (0) to (1000);
create table parts_rest partition of parts default;
insert into parts select n, case when n % 2 = 0 then 'eu' else 'us' end from generate_series(1, 99) n;
create table refers (id int, region text, foreign key (id, region) references parts on delete cascade);
insert into refers values (2, 'eu');

create table secrets (owner_name text, secret text);
insert into secrets values ('a', '1'), ('b', '2');
alter table secrets enable row level security;
alter table secrets force row level security;
create policy only_a on secrets for select using (owner_name = 'a');

create function add(a int, b int default 1) returns int language sql immutable as 'select a + b';
create function touch() returns trigger language plpgsql as $$ begin new.touched := '1 s'; return new; end $$;
create procedure nothing() language plpgsql as $$ begin null; end $$;
create aggregate add_up(int) (sfunc = int4pl, stype = int, initcond = '0');
create function same(pair, pair) returns bool language sql immutable as 'select true';
create operator === (leftarg = pair, rightarg = pair, function = same);
create table touched (id int unique, touched interval, v int check (v > 0) no inherit, exclude using btree (v with =));
create trigger touching before insert or update on touched for each row execute function touch();
insert into touched values (1, null, 5);
create index "odd index" on touched (add(v), (v * 2)) where v > 0;
create view seen with (security_barrier) as select id, add(v) as more from touched;
create rule seen_rule as on delete to touched do also select 1;
create materialized view sums as select region, count(*) as n, add_up(id) as total from parts group by region;
create unique index on sums (region);
create statistics parts_statistics (dependencies) on id, region from parts;
create text search configuration plain_words (copy = simple);
create cast (pair as mood) with inout;
create publication everything for table types;
comment on table types is 'every ''type''';
comment on column types.a_bool is E'two\nlines';
comment on function add(int, int) is 'adds';
comment on schema "odd "" schema" is 'odd';
comment on type mood is 'how it is';
grant select on types to public;
revoke execute on function add(int, int) from public;
select lo_from_bytea(0, decode(repeat('abcdef', 1000), 'hex')), lo_create(0);
