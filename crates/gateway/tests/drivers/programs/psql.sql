-- What psql can do, and the libpq below it. Run with its own output echoed.
\set VERBOSITY verbose
\set SHOW_CONTEXT always
\pset null '(null)'
select current_user, session_user, current_database(), pg_backend_pid() > 0 as pid;
\echo :SERVER_VERSION_NUM :ENCODING :USER :DBNAME :HOST
\encoding
-- Simple queries, and many in one message.
select 1 as one\; select 2 as two\; select 3 as three;
select 1\; select 1/0\; select 3;
;
\echo :SQLSTATE :ROW_COUNT :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
select 1/0;
\echo :ERROR :SQLSTATE :LAST_ERROR_MESSAGE
\errverbose
-- Rows in pieces.
\set FETCH_COUNT 7
select n, repeat('x', n) from generate_series(1, 30) n;
select 10 / (20 - n) from generate_series(1, 30) n;
begin;
select n from generate_series(1, 20) n;
savepoint a;
select 1/(n - 15) from generate_series(1, 20) n;
rollback to a;
select 'still here';
commit;
\unset FETCH_COUNT
-- Extended queries.
\bind 'a' 5
select $1, $2::int + 1 \g
select $1 as only \bind 'x' \g
select $1::int \bind 'no number' \g
select $1::int, $2::int \bind 1 \g
-- Transactions and savepoints as psql makes them.
\set ON_ERROR_ROLLBACK on
begin;
create table kept (a int primary key);
insert into kept values (1);
insert into kept values (1);
select broken;
insert into kept values (2);
commit;
table kept;
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT off
insert into kept values (3);
insert into kept values (3);
select 1;
rollback;
table kept;
rollback;
\set AUTOCOMMIT on
drop table kept;
-- Descriptions.
select 1 as a, 'x'::varchar(5) as b, null::numeric(10, 2) as c, array[1] as d \gdesc
select missing \gdesc
select 'select ' || n from generate_series(1, 3) n \gexec
select 1 as got, 'two' as "Got too" \gset pre_
\echo :pre_got :"pre_Got too"
\dt
\d pg_class
\df int4pl
\l d_app
\du u_app
\dn
\dconfig work_mem
select a, b, count(*) from (values (1, 'x'), (2, 'y'), (1, 'y')) v (a, b) group by 1, 2 order by 1, 2 \crosstabview
-- COPY, both ways, and what goes wrong in it.
create table copied (id int, t text, primary key (id));
copy copied from stdin;
1	one
2	\N
3	with\ttab
\.
copy copied from stdin (format csv, header);
id,t
10,"quo""ted"
11,
\.
copy copied from stdin;
1	twice
\.
copy copied from stdin;
20	good
bad	line
21	never
\.
copy copied from stdin;
30
\.
copy copied from stdin;
\.
copy missing from stdin;
copy copied to stdout;
copy (select 100 / (5 - n) from generate_series(1, 10) n) to stdout;
copy copied to stdout (format csv, header, force_quote *);
\copy (select n, md5(n::text) from generate_series(1, 5000) n) to program 'sha256sum'
\copy copied from program 'for n in $(seq 100 4000); do echo "$n,text of $n"; done' (format csv)
select count(*), sum(id), md5(string_agg(t, ',' order by id)) from copied;
\copy copied from program 'seq 5000 20000; echo oops; seq 20001 99999'
\copy copied (id) from program 'echo 77; exit 3'
select 1\; copy (select 'in between') to stdout\; select 2;
begin\; copy copied (id) from stdin\; select count(*) from copied\; rollback;
900001
900002
\.
drop table copied;
-- Large objects: the function call message.
\lo_import '/etc/hostname' 'a comment'
\set big :LASTOID
select length(lo_get(:big)) > 0 as has_bytes;
\lo_export :big /dev/null
\lo_export 1 /dev/null
\lo_unlink :big
\lo_unlink :big
begin;
select 1/0;
\lo_import '/etc/hostname'
rollback;
-- Notices.
\set VERBOSITY default
do $$ begin raise notice 'one'; raise warning 'two' using hint = 'h', detail = 'd'; raise info 'three'; end $$;
do $$ begin raise exception 'four' using errcode = 'ZZ001', schema = 's', table = 't', column = 'c', constraint = 'k', datatype = 'd'; end $$;
drop table if exists missing;
set client_min_messages = warning;
drop table if exists missing;
reset client_min_messages;
\set VERBOSITY sqlstate
select 1/0;
\set VERBOSITY terse
select * from missing;
\set VERBOSITY verbose
-- Notifications.
listen heard;
notify heard;
notify heard, 'payload';
begin;
notify heard, 'in a transaction';
commit;
select pg_notify('heard', n::text) from generate_series(1, 3) n;
unlisten heard;
notify heard;
-- Prepared statements and cursors in SQL.
prepare p(int, text) as select $1 + 1, $2;
execute p(41, 'x');
execute p('y');
select name, statement, parameter_types, from_sql from pg_prepared_statements where from_sql;
deallocate p;
execute p(1, 'x');
begin;
declare c scroll cursor with hold for select n from generate_series(1, 100) n;
fetch 3 from c;
move 50 in c;
fetch backward 2 from c;
commit;
fetch next from c;
fetch last from c;
close c;
fetch next from c;
-- The session's state.
set application_name = 'a''b';
show application_name;
set client_encoding = 'LATIN1';
\encoding
select length('ä'), 'x';
reset client_encoding;
\encoding SJIS
show client_encoding;
\encoding UTF8
set datestyle = 'German';
select date '2024-02-29', timestamp '2024-02-29 12:00';
set time zone 'Asia/Kolkata';
select timestamptz '2024-01-01 00:00+00';
set role none;
set session authorization default;
set standard_conforming_strings = off;
set escape_string_warning = off;
select 'a\'b';
reset all;
begin;
set local work_mem = '7MB';
show work_mem;
rollback;
show work_mem;
create temp table mine (a int);
insert into mine select generate_series(1, 10);
select count(*) from mine;
discard all;
select count(*) from mine;
-- Each output format, some types, wide and long rows.
select true, 1::int2, 2::int8, 1.5::float4, 'a'::char(5), now() - now(), '{"a":1}'::jsonb, '<x/>'::xml, '{1,2}'::int[], int4range(1, 5), b'101', '1.2.3.4'::inet;
\x on
select 1 as a, null as b;
\x off
\pset format csv
select 'a,b' as c, 'd"e' as f;
\pset format aligned
\t on
\a
select md5(repeat('x', 10000000)), length(repeat('x', 50000000));
select md5(string_agg(n::text, ',')) from generate_series(1, 300000) n;
\o | sha256sum
select n, repeat('row', 100) from generate_series(1, 50000) n;
select repeat('y', 20000000);
\o
\a
\t off
-- Reconnecting.
\c
select 'again' as said;
\c - - - -
\c "dbname=d_app application_name=other"
show application_name;
-- Time-outs.
set statement_timeout = 50;
select pg_sleep(60);
reset statement_timeout;
-- Vacuum and others that run in no transaction.
create table t (a int);
vacuum t;
vacuum (analyze, verbose false) t;
create index concurrently on t (a);
reindex table concurrently t;
begin;
vacuum t;
rollback;
call missing();
do $$ begin create temp table d (a int); commit; insert into d values (1); rollback; end $$;
table d;
drop table t;
explain (costs off) select * from generate_series(1, 10);
show all \g /dev/null
create table large_rows as select n, repeat(md5(n::text), 1000) as t from generate_series(1, 1000) n;
copy large_rows to '/dev/null';
\copy large_rows to program 'md5sum' (format binary)
drop table large_rows;
\set ON_ERROR_STOP on
select 'last' as said;
