"""What psycopg 3 and the libpq below it can do."""

import ctypes
import datetime
import decimal
import ipaddress
import logging
import os
import threading
import time
import uuid

import psycopg
from psycopg import pq, sql
from psycopg.pq import ExecStatus, Format
from psycopg.types.json import Jsonb
from psycopg.types.range import Range
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.multirange import Multirange
from steps import digest, hide, run, say, say_own, step

# It would tell of what is closed after an error, at no certain time.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)
LIBPQ = pq.version() // 10000
REPORTED = """application_name client_encoding DateStyle default_transaction_read_only in_hot_standby
integer_datetimes IntervalStyle is_superuser scram_iterations search_path server_encoding server_version
session_authorization standard_conforming_strings TimeZone""".split()


def connect(conninfo="", **more):
    return psycopg.connect(conninfo, **more)


def fields(diag):
    names = """severity severity_nonlocalized sqlstate message_primary message_detail message_hint
    statement_position internal_position internal_query context schema_name table_name column_name
    datatype_name constraint_name source_file source_line source_function""".split()
    return {name: getattr(diag, name) for name in names if getattr(diag, name) is not None}


def tell(error):
    say(type(error).__name__, error.sqlstate, hide(str(error)))


def refused(action, *arguments, **more):
    try:
        action(*arguments, **more)
    except psycopg.Error as error:
        tell(error)
    else:
        say("no error")


def reported(conn):
    info = conn.info
    return {name: value for name in REPORTED if (value := info.parameter_status(name)) is not None}


def until_running(text):
    """Waits until a statement with this text runs."""
    begun = time.monotonic()
    with connect(autocommit=True) as other:
        while True:
            row = other.execute(
                "select 1 from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()"
                " and query like %s and wait_event = 'PgSleep'", [f"%{text}%"]).fetchone()
            if row:
                return
            if time.monotonic() - begun > 30:
                raise TimeoutError(text)
            time.sleep(0.01)


@step
def log_in():
    with connect() as conn:
        say(conn.info.server_version, conn.info.encoding, conn.info.user, conn.info.dbname)
        say(conn.info.transaction_status, conn.info.status, conn.info.timezone)
        say(reported(conn))
        say(conn.info.backend_pid > 0)
        say_own(conn.info.backend_pid == conn.execute("select pg_backend_pid()").fetchone()[0])
        say(conn.pgconn.ssl_in_use, conn.pgconn.needs_password, conn.pgconn.used_password)
        if LIBPQ >= 18:
            say(conn.pgconn.full_protocol_version)


@step
def start_up_parameters():
    cases = [
        "application_name=drivers options='-c work_mem=7MB -c search_path=a,\\\\ b -c my.custom=x\\\\ y'",
        "options='-c DateStyle=SQL,DMY -c IntervalStyle=iso_8601 --client-min-messages=log'",
        "client_encoding=LATIN1",
        "client_encoding=auto fallback_application_name=fallback",
        "options='-c default_transaction_isolation=serializable -c default_transaction_read_only=on'",
        "options='-c role=nobody'",
        "options='-c no_such_thing=1'",
        "options='-c work_mem=much'",
        "options='--no-such-switch=1'",
        "client_encoding=KLINGON",
        "options='-c session_replication_role=replica'",
    ]
    for case in cases:
        say("#", case)
        try:
            with connect(case) as conn:
                say(reported(conn))
                say(case.count("my.custom") == 0 or conn.execute("show my.custom").fetchone())
                for name in "work_mem", "search_path", "client_min_messages", "transaction_isolation", "transaction_read_only":
                    say(name, conn.execute("select current_setting(%s, true)", [name]).fetchone())
        except psycopg.Error as error:
            tell(error)
    for name, value in ("PGDATESTYLE", "German"), ("PGTZ", "Asia/Kolkata"), ("PGGEQO", "off"), ("PGCLIENTENCODING", "WIN1252"):
        os.environ[name] = value
    try:
        with connect() as conn:
            say(reported(conn), conn.execute("show geqo").fetchone(), conn.execute("select now()::date = current_date").fetchone())
    finally:
        for name in "PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING":
            del os.environ[name]


@step
def doors_that_are_shut():
    wrong = [
        "password=wrong", "password=''", "user=nobody", "user=nobody password=''",
        "dbname=missing", "dbname=missing password=wrong", "user='odd \"name'", "dbname='odd name' user=nobody",
        "user=" + "x" * 100,
    ]
    for case in wrong:
        say("#", case)
        refused(connect, case)


@step
def tls_modes():
    other = "/etc/ssl/certs/ca-certificates.crt"
    cases = [f"sslmode={mode}" for mode in "disable allow prefer require verify-ca verify-full".split()]
    cases += [
        "sslmode=require sslrootcert=''",
        f"sslmode=verify-full sslrootcert={other}",
        f"sslmode=verify-ca sslrootcert={other}",
        "sslmode=verify-full host=elsewhere.example",
        "sslmode=verify-ca host=elsewhere.example",
        "sslmode=verify-full host=127.0.0.1",
        "channel_binding=require", "channel_binding=disable", "channel_binding=prefer",
        "channel_binding=require sslmode=disable",
        "gssencmode=disable", "gssencmode=prefer", "sslsni=0",
        "ssl_min_protocol_version=TLSv1.3", "ssl_max_protocol_version=TLSv1.2",
        "ssl_max_protocol_version=TLSv1.2 channel_binding=require",
    ]
    if LIBPQ >= 16:
        cases += ["require_auth=scram-sha-256", "require_auth=password", "require_auth=!scram-sha-256", "require_auth=none",
                  "sslcertmode=disable"]
    server = None
    for case in cases:
        say("#", case)
        try:
            with connect(case) as conn:
                say(conn.pgconn.ssl_in_use, conn.execute("select 1").fetchone())
                server = conn.info.server_version // 10000
        except psycopg.Error as error:
            tell(error)
    if LIBPQ >= 17 and server >= 17:
        for case in ("sslnegotiation=direct", "sslnegotiation=direct channel_binding=require",
                     "sslnegotiation=direct sslmode=prefer", "sslnegotiation=postgres"):
            say("#", case)
            try:
                with connect(case) as conn:
                    say(conn.pgconn.ssl_in_use, conn.execute("select 1").fetchone())
            except psycopg.Error as error:
                tell(error)


@step
def protocol_versions():
    if LIBPQ < 18:
        return
    for case in ("max_protocol_version=3.0", "max_protocol_version=3.2", "max_protocol_version=latest",
                 "min_protocol_version=3.0", "min_protocol_version=3.2 max_protocol_version=3.2",
                 "min_protocol_version=3.2 max_protocol_version=latest", "max_protocol_version=3.1"):
        say("#", case)
        try:
            with connect(case) as conn:
                say(conn.pgconn.full_protocol_version, conn.execute("select 1").fetchone())
                threading.Thread(target=lambda: (until_running("protocol_cancel"), conn.cancel_safe())).start()
                refused(conn.execute, "select pg_sleep(60) /* protocol_cancel */")
        except psycopg.Error as error:
            tell(error)


@step
def types():
    utc = datetime.timezone.utc
    values = [
        None, True, False, 0, -1, 2**15, -2**31, 2**63 - 1, 2**70, 1.5, float("inf"), float("-inf"), 5e-324,
        decimal.Decimal("123456789012345678901234567890.123456789"), decimal.Decimal("NaN"), "", "text", "\u00e4\u20ac\U0001f418",
        "quote ' \" \\ \n\t", b"", bytes(range(256)), datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 999999),
        datetime.datetime(2000, 1, 1, 12, 30, 45, 123456), datetime.datetime(1970, 1, 1, tzinfo=utc),
        datetime.timedelta(days=-3, seconds=5, microseconds=7), uuid.UUID(int=2**127 + 5), ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_network("2001:db8::/32"), Jsonb({"a": [1, None, {"b": "\u00fc"}]}), [1, 2, None], [["a", "b"], ["c", None]],
        [datetime.date(1, 1, 1)], Range(1, 10), Range(None, decimal.Decimal("2.5"), "(]"), Range(empty=True),
        Multirange([Range(1, 3), Range(5, 8)]), [], "x" * 100_000,
    ]
    with connect() as conn:
        for binary in False, True:
            cursor = conn.cursor(binary=binary)
            for value in values:
                for way in "%s", "%b", "%t":
                    try:
                        row = cursor.execute(f"select {way}", [value]).fetchone()
                        shown = repr(row[0])
                        say(binary, way, shown if len(shown) < 200 else digest(shown), cursor.description[0].type_code)
                    except psycopg.Error as error:
                        conn.rollback()
                        tell(error)
        cursor = conn.cursor()
        for text in ("'{1,2}'::int2vector", "'1 day'::interval", "'(1,2)'::point", "'<a>b</a>'::xml", "'a:1 b'::tsvector",
                     "'12:00+03'::timetz", "'$1.50'::money", "'101'::bit(3)", "'08:00:2b:01:02:03'::macaddr", "row(1,'x',null)",
                     "'infinity'::date", "'4713-01-01 BC'::date", "'16/B374D848'::pg_lsn", "'a=>b'::text", "array[[1],[2]]::int[]",
                     "'[3:4]={7,8}'::int[]", "txid_current() > 0", "null::void", "'pg_class'::regclass", "1::\"char\""):
            for binary in False, True:
                try:
                    cursor.execute(f"select {text}", binary=binary)
                    result = cursor.pgresult
                    say(text, result.ftype(0), result.fmod(0), result.fsize(0), result.fformat(0), result.get_value(0, 0))
                except psycopg.Error as error:
                    conn.rollback()
                    tell(error)


@step
def types_of_ones_own():
    with connect(autocommit=True) as conn:
        conn.execute("create type colour as enum ('red', 'green', 'dark blue')")
        conn.execute("create type pair as (name text, colour colour, at timestamptz)")
        conn.execute("create domain positive as int check (value > 0)")
        register_enum(EnumInfo.fetch(conn, "colour"), conn)
        pair = CompositeInfo.fetch(conn, "pair")
        register_composite(pair, conn)
        say(conn.execute("select 'dark blue'::colour, enum_range(null::colour)").fetchone())
        made = pair.python_type("n", conn.execute("select 'red'::colour").fetchone()[0], datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        for binary in False, True:
            say(conn.execute("select %s::pair, array[%s::pair]", [made, made], binary=binary).fetchone())
        refused(conn.execute, "select 0::positive")
        refused(conn.execute, "select 'pink'::colour")
        conn.execute("drop type pair; drop type colour; drop domain positive")


@step
def prepared_statements():
    show = "select count(*), bool_and(not from_sql) from pg_prepared_statements"
    with connect(autocommit=True) as conn:
        for number in range(8):
            say(conn.execute("select %s::int + 1", [number]).fetchone())
            say_own(conn.execute(show, prepare=False).fetchone())
        conn.prepare_threshold, conn.prepared_max = 0, 10
        for turn in range(3):
            for number in range(40):
                row = conn.execute(f"select %s::int + {number}, %s::text", [turn, "t"]).fetchone()
                if row != (turn + number, "t"):
                    say("wrong", row)
            say_own(turn, conn.execute(show, prepare=False).fetchone())
        conn.prepared_max = 2000
        for number in range(1500):
            conn.execute(f"select {number} + %s", [1]).fetchone()
        say_own(conn.execute(show, prepare=False).fetchone())
        conn.execute("create table changing (a int)")
        say(conn.execute("select * from changing", prepare=True).description)
        conn.execute("alter table changing add b text")
        refused(conn.execute, "select * from changing", prepare=True)
        conn.execute("deallocate all")
        say(conn.execute("select * from changing", prepare=True).description)
        conn.execute("drop table changing")
        refused(conn.execute, "select %s::int / 0", [1], prepare=True)
        refused(conn.execute, "select * from not_there", prepare=True)
        refused(conn.execute, "select $1 + 1", prepare=True)
        conn.execute("discard all")
        say_own(conn.execute(show, prepare=False).fetchone())


@step
def prepared_by_name():
    with connect(autocommit=True) as conn:
        low = conn.pgconn
        def status(result):
            say(ExecStatus(result.status).name, result.command_status, result.ntuples, result.error_message and hide(result.error_message.decode()))
            return result
        status(low.prepare(b"one", b"select $1::int, $2", [0, 25]))
        status(low.prepare(b"one", b"select 2"))
        status(low.prepare(b"\xc3\xa4 odd \"name\"", b"select 'odd'"))
        described = status(low.describe_prepared(b"one"))
        say([described.param_type(n) for n in range(described.nparams)], [described.ftype(n) for n in range(described.nfields)])
        for fmt in Format.TEXT, Format.BINARY:
            result = status(low.exec_prepared(b"one", [b"7", None], result_format=fmt))
            say(result.get_value(0, 0), result.get_value(0, 1))
        status(low.exec_prepared(b"one", [b"x", b"y"]))
        status(low.exec_prepared(b"missing", []))
        status(low.describe_prepared(b"missing"))
        status(low.exec_prepared(b"\xc3\xa4 odd \"name\"", []))
        status(low.prepare(b"", b"select 'unnamed', $1::text"))
        say(status(low.exec_prepared(b"", [b"again"])).get_value(0, 1))
        say(status(low.exec_prepared(b"", [b"and again"])).get_value(0, 1))
        status(low.exec_(b"select 1"))
        status(low.exec_prepared(b"", [b"gone"]))
        status(low.exec_(b"prepare by_sql(int) as select $1 * 2"))
        say(status(low.exec_prepared(b"by_sql", [b"21"])).get_value(0, 0))
        say_own(ExecStatus(low.exec_(b"execute one(3, 'sql')").status).name)
        say_own([row[:2] for row in conn.execute("select name, from_sql, statement from pg_prepared_statements order by name")])
        if LIBPQ >= 17:
            status(low.close_prepared(b"one"))
            status(low.close_prepared(b"missing"))
            status(low.exec_prepared(b"one", [b"7", None]))
        status(low.exec_(b"deallocate by_sql"))
        status(low.exec_(b"deallocate by_sql"))
        status(low.exec_(b"begin; declare c cursor for select generate_series(1, 3)"))
        portal = status(low.describe_portal(b"c"))
        say(portal.nfields, portal.fname(0), portal.ftype(0))
        status(low.describe_portal(b"missing"))
        status(low.exec_(b"rollback"))


@step
def pipelines():
    with connect(autocommit=True) as conn:
        conn.execute("create table piped (id int primary key, t text)")
        with conn.pipeline() as pipeline:
            cursors = [conn.execute("insert into piped values (%s, %s) returning id", [n, str(n)]) for n in range(300)]
            pipeline.sync()
            say(sum(cursor.fetchone()[0] for cursor in cursors))
        for transaction in False, True:
            try:
                with conn.pipeline():
                    if transaction:
                        conn.execute("begin")
                    conn.execute("insert into piped values (1000, 'in')")
                    conn.execute("insert into piped values (1, 'twice')")
                    conn.execute("insert into piped values (1001, 'never')")
            except psycopg.Error as error:
                tell(error)
            say(conn.info.transaction_status, conn.rollback())
            say(conn.execute("select count(*) from piped").fetchone())
        with conn.pipeline() as pipeline:
            conn.execute("insert into piped values (2000, 'kept')")
            pipeline.sync()
            say(conn.execute("select count(*) from piped").fetchone())
        with conn.pipeline():
            with conn.transaction():
                conn.execute("insert into piped values (3000, 'a')")
                with conn.transaction() as inner:
                    conn.execute("insert into piped values (3001, 'b')")
                    raise psycopg.Rollback(inner)
        say(conn.execute("select id from piped where id >= 2000 order by 1").fetchall())
        with conn.pipeline():
            many = [conn.execute("select %s::int, repeat('x', 500)", [n]) for n in range(5000)]
            say(sum(cursor.fetchone()[0] for cursor in many))
        conn.cursor().executemany("insert into piped values (%s, %s)", [(n, "m") for n in range(10000, 12000)])
        cursor = conn.cursor()
        cursor.executemany("update piped set t = %s where id = %s returning id", [("u", n) for n in range(10000, 10010)], returning=True)
        got = []
        while True:
            got.append(cursor.fetchone()[0])
            if not cursor.nextset():
                break
        say(got)
        refused(conn.cursor().executemany, "insert into piped values (%s, %s)", [(20000, "x"), (20000, "y"), (20001, "z")])
        say(conn.execute("select count(*), max(id) from piped").fetchone())
        conn.execute("drop table piped")


@step
def pipelines_of_libpq():
    with connect(autocommit=True) as conn:
        low = conn.pgconn
        low.exec_(b"create temp table raw_piped (a int unique)")
        low.enter_pipeline_mode()

        def send(text, *parameters):
            low.send_query_params(text, list(parameters))
        send(b"insert into raw_piped values ($1)", b"1")
        low.send_flush_request()
        low.flush()
        result = low.get_result()
        say("flushed", ExecStatus(result.status).name, result.command_status, low.get_result())
        send(b"insert into raw_piped values ($1)", b"2")
        low.pipeline_sync()
        send(b"insert into raw_piped values ($1)", b"2")
        send(b"insert into raw_piped values ($1)", b"3")
        low.pipeline_sync()
        low.send_prepare(b"p", b"select $1::int")
        low.send_query_prepared(b"p", [b"5"])
        low.send_describe_prepared(b"p")
        low.pipeline_sync()
        send(b"begin")
        send(b"insert into raw_piped values ($1)", b"4")
        low.pipeline_sync()
        send(b"select 1 from nowhere")
        low.pipeline_sync()
        send(b"select 1")
        low.pipeline_sync()
        send(b"rollback")
        low.pipeline_sync()
        low.pipeline_sync()
        syncs = 0
        while syncs < 8:
            result = low.get_result()
            if result is None:
                continue
            say(ExecStatus(result.status).name, result.command_status, hide((result.error_message or b"").decode()), low.transaction_status)
            syncs += result.status == ExecStatus.PIPELINE_SYNC
        low.exit_pipeline_mode()
        say(low.exec_(b"select array_agg(a order by a) from raw_piped").get_value(0, 0))
        low.enter_pipeline_mode()
        try:
            low.exec_(b"select 1")
        except psycopg.Error as error:
            say(type(error).__name__, str(error))
        low.exit_pipeline_mode()


@step
def copy_in():
    with connect(autocommit=True) as conn:
        conn.execute("create table copied (id int not null, t text, d date, n numeric)")
        cursor = conn.cursor()
        with cursor.copy("copy copied from stdin") as copy:
            for n in range(2000):
                copy.write_row((n, f"r\u00f6w\t{n}\\" if n % 3 else None, datetime.date(2020, 1, 1), decimal.Decimal(n) / 8))
        say(cursor.rowcount, cursor.statusmessage)
        with cursor.copy("copy copied from stdin (format binary)") as copy:
            copy.set_types(["int4", "text", "date", "numeric"])
            for n in range(2000):
                copy.write_row((n, "b" * (n % 50), datetime.date(1999, 12, 31), None))
        say(cursor.rowcount, cursor.statusmessage)
        with cursor.copy("copy copied (id, t) from stdin (format csv, header true, delimiter ';')") as copy:
            copy.write("id;t\n1;\"a;b\"\n2;\n")
        say(cursor.rowcount)
        with cursor.copy("copy copied from stdin") as copy:
            pass
        say(cursor.rowcount, cursor.statusmessage)

        class Changed(Exception):
            pass
        for size in 1, 200_000:
            try:
                with cursor.copy("copy copied (id) from stdin") as copy:
                    copy.write("1\n" * size)
                    raise Changed("I do not want to")
            except Changed as error:
                say("aborted", error, conn.info.transaction_status)
            except psycopg.Error as error:
                tell(error)
        for bad in ("1\tx\tno date\t1\n", "1\n", "x\n", "1\tx\t2020-01-01\t1\textra\n", "\\N\tx\t\\N\t\\N\n", "\udce4".encode("utf-8", "surrogateescape"),
                    b"\x00\n", ("1\tx\t2020-01-01\t1\n" * 50_000 + "bad\n" + "1\tx\t2020-01-01\t1\n" * 200_000)):
            def fill():
                with cursor.copy("copy copied from stdin") as copy:
                    copy.write(bad)
            refused(fill)
            say(conn.info.transaction_status, conn.execute("select count(*) from copied").fetchone())
        def wrong_binary():
            with cursor.copy("copy copied from stdin (format binary)") as copy:
                copy.write(b"no signature at all, really")
        refused(wrong_binary)
        refused(conn.execute, "copy copied from '/etc/passwd'")
        refused(conn.execute, "copy missing from stdin")
        conn.autocommit = False
        with cursor.copy("copy copied (id) from stdin") as copy:
            copy.write("77777\n")
        conn.rollback()
        conn.autocommit = True
        say(conn.execute("select count(*), sum(id), md5(string_agg(t, '' order by id, t)) from copied").fetchone())
        conn.execute("drop table copied")


@step
def copy_out():
    with connect(autocommit=True) as conn:
        cursor = conn.cursor()
        query = "select n, 'r\u00f6w' || n, n::numeric / 7, case when n % 2 = 0 then now() - now() end from generate_series(1, 20000) n"
        for options in "", "(format binary)", "(format csv, header, force_quote *)", "(format text, delimiter '|', null 'none')":
            with cursor.copy(f"copy ({query}) to stdout {options}") as copy:
                data = b"".join(bytes(block) for block in copy)
            say(options, digest(data), cursor.rowcount, cursor.statusmessage)
        with cursor.copy("copy (values (1, 'a', null::int), (2, 'b', 5)) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text", "int4"])
            say(list(copy.rows()))
        def fails():
            with cursor.copy("copy (select 100 / (1000 - n) from generate_series(1, 2000) n) to stdout") as copy:
                say(sum(1 for _ in copy))
        refused(fails)
        try:
            with cursor.copy("copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout") as copy:
                next(iter(copy))
                raise KeyError("enough")
        except KeyError as error:
            say("stopped", error)
        say(conn.info.transaction_status, conn.execute("select 1").fetchone())
        with cursor.copy("copy (select 1 where false) to stdout") as copy:
            say(list(copy))
        # Large, in both directions at once.
        with connect(autocommit=True) as other:
            other.execute("create temp table got (n int, t text)")
            with cursor.copy("copy (select n, repeat('y', 300) from generate_series(1, 60000) n) to stdout (format binary)") as out, \
                    other.cursor().copy("copy got from stdin (format binary)") as into:
                for block in out:
                    into.write(block)
            say(other.execute("select count(*), sum(n), sum(length(t)) from got").fetchone())


@step
def cursors():
    with connect() as conn:
        with conn.cursor(name="plain") as cursor:
            cursor.execute("select generate_series(1, 1000)")
            say(cursor.fetchone(), cursor.fetchmany(5), len(cursor.fetchall()), cursor.statusmessage)
        with conn.cursor(name="scrolls", scrollable=True) as cursor:
            cursor.execute("select generate_series(1, 100)")
            cursor.scroll(50)
            say(cursor.fetchone())
            cursor.scroll(-10)
            say(cursor.fetchone())
            cursor.scroll(99, mode="absolute")
            say(cursor.fetchall())
        with conn.cursor(name="forward", scrollable=False) as cursor:
            cursor.execute("select generate_series(1, 100)")
            cursor.fetchmany(3)
            refused(cursor.scroll, -1)
        conn.rollback()
        held = conn.cursor(name="held one", withhold=True)
        held.itersize = 7
        held.execute("select n, repeat('z', n) from generate_series(1, 50) n")
        say(held.fetchone())
        conn.commit()
        say(sum(row[0] for row in held), conn.info.transaction_status)
        held.close()
        conn.commit()
        refused(lambda: conn.execute("fetch next from gone"))
        conn.rollback()
        conn.execute("declare stolen cursor for select generate_series(1, 3)")
        thief = psycopg.ServerCursor(conn, "stolen")
        say(thief.fetchall(), thief.close())
        conn.commit()
        with conn.cursor(name="binary") as cursor:
            cursor.execute("select n, n::float8 / 3 from generate_series(1, 3) n", binary=True)
            say(cursor.fetchall())
        conn.execute("create temp table upd as select generate_series(1, 5) a")
        conn.execute("declare u cursor for select a from upd for update")
        conn.execute("fetch 2 from u")
        say(conn.execute("update upd set a = 100 where current of u returning a").fetchall())
        conn.rollback()


@step
def rows_as_they_come():
    with connect(autocommit=True) as conn:
        cursor = conn.cursor()
        say(sum(row[0] for row in cursor.stream("select generate_series(1, 20000)")))
        if LIBPQ >= 17:
            say(sum(row[0] for row in cursor.stream("select generate_series(1, 20000)", size=333)))
        stream = cursor.stream("select 10 / (5 - n) from generate_series(1, 10) n")
        try:
            for row in stream:
                say(row)
        except psycopg.Error as error:
            tell(error)
        for number, row in enumerate(cursor.stream("select generate_series(1, 100000)")):
            if number == 5:
                break
        say(conn.execute("select 'goes on'").fetchone())


@step
def listen_and_notify():
    with connect(autocommit=True) as ear, connect(autocommit=True) as mouth:
        ear.execute('listen channel; listen "Odd Channel"')
        mouth.execute("notify channel")
        mouth.execute("select pg_notify('Odd Channel', %s)", ["p\u00e4yload " + "x" * 7000])
        mouth.execute("notify channel, 'once'; notify channel, 'once'; notify elsewhere")
        ear.execute("notify channel, 'my own'")
        def hear(count):
            heard = list(ear.notifies(timeout=20, stop_after=count))
            for notify in heard[:count]:
                whose = {ear.info.backend_pid: "ear", mouth.info.backend_pid: "mouth"}.get(notify.pid, "nobody")
                say(notify.channel, digest(notify.payload) if len(notify.payload) > 100 else notify.payload)
                say_own(whose)
        hear(4)
        with mouth.transaction():
            mouth.execute("notify channel, 'in a transaction'")
            say(list(ear.notifies(timeout=0)))
        hear(1)
        ear.autocommit = False
        ear.execute("select 1")
        mouth.execute("notify channel, 'while in a transaction'")
        ear.commit()
        ear.autocommit = True
        hear(1)
        say(ear.execute("select pg_listening_channels() order by 1").fetchall())
        ear.execute("unlisten channel")
        mouth.execute("notify channel, 'unheard'")
        mouth.execute("notify \"Odd Channel\", 'heard'")
        hear(1)
        ear.execute("unlisten *")
        mouth.execute("notify \"Odd Channel\"")
        ear.execute("select 1")
        say(list(ear.notifies(timeout=0)), ear.execute("select pg_listening_channels()").fetchall())
        refused(mouth.execute, "select pg_notify('', 'x')")
        refused(mouth.execute, "select pg_notify('c', %s)", ["x" * 8001])
        got = []
        ear.add_notify_handler(lambda notify: got.append(notify.payload))
        ear.execute("listen many")
        with mouth.transaction():
            for number in range(500):
                mouth.execute("select pg_notify('many', %s)", [str(number)])
        while len(got) < 500:
            ear.execute("select 1")
        say(got == [str(number) for number in range(500)])


@step
def cancel():
    with connect(autocommit=True) as conn:
        ways = [("old", conn.cancel), ("safe", conn.cancel_safe)]
        for name, way in ways:
            thread = threading.Thread(target=lambda: (until_running(f"cancel {name}"), way()))
            thread.start()
            refused(conn.execute, f"select pg_sleep(60) /* cancel {name} */")
            thread.join()
        # With nothing to cancel it does nothing, except perhaps to what comes next.
        conn.cancel_safe()
        for _ in range(20):
            try:
                say(conn.execute("select 'not cancelled'").fetchone())
                break
            except psycopg.errors.QueryCanceled:
                continue
        with conn.transaction():
            conn.execute("create temp table kept as select 1 a")
            try:
                with conn.transaction():
                    thread = threading.Thread(target=lambda: (until_running("in a savepoint"), conn.cancel_safe()))
                    thread.start()
                    conn.execute("select pg_sleep(60) /* in a savepoint */")
            except psycopg.Error as error:
                tell(error)
            thread.join()
            say(conn.execute("select * from kept").fetchall())
        thread = threading.Thread(target=lambda: (until_running("copied_out"), conn.cancel_safe()))
        thread.start()
        def copies():
            with conn.cursor().copy("copy (select 1 copied_out, pg_sleep(60)) to stdout") as copy:
                say(list(copy))
        refused(copies)
        thread.join()
        say(conn.execute("select 'usable'").fetchone())


@step
def errors():
    with connect() as conn:
        conn.execute("""create table parent (id int primary key); create table child (id int primary key,
            parent int constraint has_parent references parent, positive int not null check (positive > 0))""")
        conn.commit()
        statements = ["selekt 1", "select 1 /* \u00e4\u20ac */ + x", "select * from missing", "insert into child values (1, 1, 1)",
                      "insert into child values (1, null, -1)", "insert into child values (1, null, null)",
                      "insert into parent values (1), (1)", "select 'x'::int", "select missing(1)", "select 1/0", "",
                      "select '\u20ac' ~ '('", "do $$ begin raise exception using errcode = 'XY123', message = 'm', detail = 'd', hint = 'h', "
                      "column = 'c', constraint = 'co', datatype = 'dt', table = 't', schema = 's'; end $$",
                      "do $$ begin perform 1/0; end $$", "do $$ begin assert false, 'why'; end $$", "select \"" + "x" * 100 + "\"",
                      "lock table parent nowait", "set no_such = 1", "select pg_read_file('/etc/passwd')", "create role x",
                      "alter system set work_mem = '1MB'", "vacuum", "select 2147483647 + 1", "select repeat('x', 1 << 30)"]
        for statement in statements:
            try:
                conn.execute(statement)
                say("fine", statement)
            except psycopg.Error as error:
                say(type(error).__name__, fields(error.diag))
            refused(conn.execute, "select 1")
            say(conn.info.transaction_status)
            conn.rollback()
        with conn.transaction():
            conn.execute("insert into parent values (1)")
            for bad in "select 1/0", "insert into parent values (1)":
                try:
                    with conn.transaction("sp"):
                        conn.execute("insert into parent values (2)")
                        conn.execute(bad)
                except psycopg.Error as error:
                    tell(error)
            conn.execute("savepoint one; savepoint two; release one")
            refused(conn.execute, "rollback to two")
            try:
                conn.execute("select 1")
            except psycopg.Error as error:
                tell(error)
            say(conn.info.transaction_status)
        say(conn.execute("select count(*) from parent").fetchone(), conn.rollback())
        conn.execute("set constraints all deferred")
        conn.execute("alter table child alter constraint has_parent deferrable initially deferred")
        conn.execute("insert into child values (1, 99, 1)")
        refused(conn.commit)
        conn.rollback()
        conn.execute("drop table child, parent")
        conn.commit()


@step
def many_statements_at_once():
    with connect(autocommit=True) as conn:
        for text in ("select 1; select 2, 'two'; select 3", "", ";", ";;select 1;;", "-- only a comment",
                     "create temp table m (a int); insert into m values (1), (2); select * from m; update m set a = 5; delete from m",
                     "insert into m values (10); select 1/0; insert into m values (11)",
                     "begin; insert into m values (20)", "insert into m values (21); commit; insert into m values (22); rollback",
                     "begin; select 1/0", "select 1; commit; select 'after'", "savepoint x", "begin; begin", "commit; commit",
                     "select * from m order by 1", "set work_mem = '5MB'; show work_mem; reset work_mem", "explain (costs off) select 1",
                     "begin; set transaction isolation level serializable read only deferrable; show transaction_isolation; commit and chain; rollback"):
            results = []
            try:
                cursor = conn.execute(text, prepare=False)
                while True:
                    results.append((cursor.statusmessage, cursor.rowcount, cursor.fetchall() if cursor.description else None))
                    if not cursor.nextset():
                        break
            except psycopg.Error as error:
                tell(error)
            say(text, results, conn.info.transaction_status)


@step
def notices():
    with connect(autocommit=True) as conn:
        conn.add_notice_handler(lambda diag: say("notice", fields(diag)))
        conn.execute("set client_min_messages = debug1")
        for level in "debug", "log", "info", "notice", "warning":
            conn.execute(f"do $$ begin raise {level} 'a % message', '{level}' using hint = 'h', errcode = '01ABC'; end $$")
        conn.execute("set client_min_messages = notice")
        conn.execute("drop table if exists missing")
        conn.execute("commit")
        conn.execute("do $$ begin for i in 1..300 loop raise notice 'many %', i; end loop; end $$")
        conn.execute("set client_min_messages = error")
        conn.execute("drop table if exists missing")
        conn.execute("do $$ begin raise warning 'not heard'; end $$")


@step
def session_state():
    with connect(autocommit=True) as conn:
        def shown(text):
            conn.execute(text, prepare=False)
            say(text, reported(conn))
        for text in ("set application_name = 'n\u00e4me'", "set client_encoding = 'LATIN1'", "reset client_encoding", "set DateStyle = 'SQL, DMY'",
                     "set IntervalStyle = 'iso_8601'", "set time zone 'America/New_York'", "set standard_conforming_strings = off",
                     "set search_path = 'x', \"Y y\", public", "select set_config('TimeZone', 'Asia/Tokyo', false)",
                     "begin; set local DateStyle = 'German'", "commit", "begin; set DateStyle = 'ISO, YMD'", "rollback", "reset all",
                     "set session characteristics as transaction read only", "show default_transaction_read_only", "discard all"):
            shown(text)
        conn.execute("set my.own = 'kept'; set work_mem = '9MB'; create temp table t as select 1 a; prepare p as select 1; listen l")
        conn.execute("declare h cursor with hold for select generate_series(1, 5)")
        conn.execute("select pg_advisory_lock(42)")
        state = """select current_setting('my.own', true), current_setting('work_mem'), to_regclass('t') is not null,
            (select count(*) from pg_prepared_statements), (select count(*) from pg_listening_channels()),
            (select count(*) from pg_cursors), (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())"""
        for text in "select 1", "fetch 2 from h", "execute p", "table t":
            say(conn.execute(text, prepare=False).fetchall(), conn.execute(state, prepare=False).fetchone())
        say(conn.execute("select pg_try_advisory_lock(42), pg_advisory_unlock(42), pg_advisory_unlock(42), pg_advisory_unlock(42)", prepare=False).fetchone())
        for text in "discard temp", "discard plans", "discard sequences", "discard all":
            conn.execute(text)
            say(text, conn.execute(state, prepare=False).fetchone())
        conn.execute("create temp sequence s")
        refused(conn.execute, "select lastval()")
        say(conn.execute("select nextval('s'), nextval('s'), currval('s'), lastval()").fetchone())
        say(conn.execute("select setseed(0.5), random()").fetchone(), conn.execute("select random()").fetchone())
        conn.execute("drop sequence s")


@step
def encodings():
    text = "\u00e4\u00f6\u00fc\u00df\u00e9"
    with connect(client_encoding="LATIN1") as conn:
        say(conn.info.encoding, conn.execute("select %s, octet_length(%s::text::bytea)", [text, text]).fetchone())
        result = conn.pgconn.exec_(f"select '{text}'".encode("latin1"))
        say(result.get_value(0, 0))
        refused(conn.execute, "select chr(8364)")
        conn.rollback()
        conn.execute("set client_encoding = 'UTF8'")
        say(conn.info.encoding, conn.execute("select chr(8364)").fetchone())
        conn.execute("set client_encoding = 'SJIS'")
        say(conn.info.encoding, conn.execute("select chr(12354)", binary=False).pgresult.get_value(0, 0))
        conn.execute("set client_encoding = 'SQL_ASCII'")
        conn.rollback()
        say(conn.info.encoding)
        conn.execute("set client_encoding = 'UTF8'")
        say(hide(conn.pgconn.exec_(b"select 'bad \xe4 bytes'").error_message.decode()))


@step
def large():
    with connect(autocommit=True) as conn:
        for size in 8191, 8192, 65535, 65536, 65537, 1 << 20, 64 << 20:
            value = bytes([size % 251]) * size
            back = conn.execute("select %b::bytea", [value], binary=True).fetchone()[0]
            say(size, back == value)
        text = conn.execute("select repeat('0123456789', 6400000)").fetchone()[0]
        say(digest(text))
        statement = "select " + ", ".join(f"%s::text a{number}" for number in range(1600))
        row = conn.execute(statement, ["p" * 1300] * 1600).fetchone()
        say(len(row), digest("".join(row)))
        low = conn.pgconn
        most = 65535
        marks = b", ".join(b"$%d" % (number + 1) for number in range(most))
        result = low.exec_params(b"select count(*), sum(v::int) from (select unnest(array[" + marks + b"]::text[]) v) s", [b"%d" % n for n in range(most)])
        say(ExecStatus(result.status).name, result.get_value(0, 0), result.get_value(0, 1))
        try:
            low.exec_params(b"select 1", [b"1"] * (most + 1))
        except psycopg.Error as error:
            tell(error)
        say(hide(low.exec_params(b"select $1::int", [b"1"] * most).error_message.decode()))
        comment = "/*" + "c" * (8 << 20) + "*/"
        say(conn.execute(f"select 1 {comment}", prepare=False).fetchone())
        say(conn.execute("select array_agg(n) = %s::int[] from generate_series(1, 300000) n", [list(range(1, 300001))]).fetchone())
        say(sum(len(row[0]) for row in conn.execute("select repeat('r', 100000) from generate_series(1, 300)")))
        say(len(conn.execute("select generate_series(1, 200000)").fetchall()))


@step
def function_calls():
    """The function call message, which libpq uses for large objects."""
    class Argument(ctypes.Structure):
        class Value(ctypes.Union):
            _fields_ = [("ptr", ctypes.c_char_p), ("integer", ctypes.c_int)]
        _anonymous_ = ("value",)
        _fields_ = [("len", ctypes.c_int), ("isint", ctypes.c_int), ("value", Value)]

    libpq = ctypes.CDLL("libpq.so.5")
    libpq.PQfn.restype = ctypes.c_void_p
    libpq.PQfn.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int,
                           ctypes.POINTER(Argument), ctypes.c_int]
    libpq.PQresultStatus.argtypes, libpq.PQclear.argtypes = [ctypes.c_void_p], [ctypes.c_void_p]
    libpq.PQresultErrorMessage.argtypes, libpq.PQresultErrorMessage.restype = [ctypes.c_void_p], ctypes.c_char_p
    with connect(autocommit=True) as conn:
        pointer = conn.pgconn.pgconn_ptr
        pointer = ctypes.cast(pointer, ctypes.c_void_p).value if not isinstance(pointer, int) else pointer

        def call(name, *arguments, integer=True, room=1 << 21):
            oid = conn.execute("select %s::regprocedure::oid::int", [name], prepare=False).fetchone()[0]
            given = (Argument * max(1, len(arguments)))()
            for place, value in zip(given, arguments):
                if isinstance(value, int):
                    place.len, place.isint, place.integer = 4, 1, value
                else:
                    place.len, place.isint, place.ptr = len(value), 0, value
            buffer, length = ctypes.create_string_buffer(room), ctypes.c_int()
            result = libpq.PQfn(pointer, oid, buffer, ctypes.byref(length), int(integer), given, len(arguments))
            status = ExecStatus(libpq.PQresultStatus(result)).name
            words = hide(libpq.PQresultErrorMessage(result).decode())
            libpq.PQclear(result)
            value = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_int))[0] if integer else buffer.raw[:length.value]
            say(name, status, words, None if words else value if integer and value < 10000 else digest(value) if not integer else "a number")
            return value

        call("int4pl(int,int)", 40, 2)
        call("int4div(int,int)", 1, 0)
        call("upper(text)", b"text", integer=False)
        say(conn.info.transaction_status)
        call("int4pl(int,int)", 1)
        with conn.transaction():
            big = call("lo_create(oid)", 77777)
            handle = call("lo_open(oid,int)", 77777, 0x60000)
            data = os.urandom(1) * 1_000_000
            for _ in range(3):
                call("lowrite(int,bytea)", handle, b"d" * 1_000_000)
            call("lo_lseek(int,int,int)", handle, 0, 0)
            call("loread(int,int)", handle, 1_500_000, integer=False)
            call("lo_tell(int)", handle)
            call("lo_close(int)", handle)
        say(big, len(data))
        try:
            with conn.transaction():
                call("lo_open(oid,int)", 1, 0x20000)
                call("int4pl(int,int)", 1, 1)
        except psycopg.Error as error:
            tell(error)
        say(conn.execute("select length(lo_get(77777)), lo_unlink(77777)").fetchone())


@step
def time_outs():
    with connect(autocommit=True) as conn:
        conn.execute("set statement_timeout = '50ms'")
        refused(conn.execute, "select pg_sleep(60)")
        conn.execute("set statement_timeout = 0")
        with connect(autocommit=True) as other:
            conn.execute("create table busy ()")
            with conn.transaction():
                conn.execute("lock table busy")
                other.execute("set lock_timeout = '50ms'")
                refused(other.execute, "table busy")
            conn.execute("drop table busy")


@step
def deadlock():
    with connect(autocommit=True) as setup:
        setup.execute("create table tangled as select generate_series(1, 2) a")
        with connect() as one, connect() as two:
            one.execute("update tangled set a = a where a = 1")
            two.execute("update tangled set a = a where a = 2")
            ended = []
            def cross(conn, row):
                try:
                    conn.execute("update tangled set a = a where a = %s", [row])
                    ended.append("fine")
                except psycopg.Error as error:
                    ended.append((type(error).__name__, error.sqlstate))
                    conn.rollback()
            threads = [threading.Thread(target=cross, args=case) for case in ((one, 2), (two, 1))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            say(sorted(ended, key=str))
        with connect() as one, connect() as two:
            for conn in one, two:
                conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
                conn.execute("select sum(a) from tangled")
            one.execute("insert into tangled values (10)")
            two.execute("insert into tangled values (20)")
            one.commit()
            refused(two.commit)
        setup.execute("drop table tangled")


@step
def two_phases():
    conn = connect()
    for end in conn.tpc_rollback, conn.close:
        conn.tpc_begin(conn.xid(1, "global", "branch"))
        conn.execute("create table phased (a int)")
        conn.tpc_prepare()
        end()
    with connect() as conn:
        found = conn.tpc_recover()
        say([(xid.gtrid, xid.bqual, xid.database) for xid in found])
        conn.tpc_commit(found[0])
        conn.execute("drop table phased")


@step
def procedures():
    with connect(autocommit=True) as conn:
        conn.execute("""create procedure commits(inout a int) language plpgsql as $$ begin
            create temp table p1 (x int); insert into p1 values (1); commit; insert into p1 values (2); rollback; a := a + 1; end $$""")
        say(conn.execute("call commits(41)").fetchall(), conn.execute("table p1").fetchall())
        refused(conn.execute, "begin; call commits(1)")
        conn.rollback()
        conn.execute("drop procedure commits")
        say(conn.execute("vacuum p1").statusmessage, conn.execute("create index concurrently on p1 (x)").statusmessage)


@step
def ends():
    """How sessions end."""
    with connect(autocommit=True) as watcher:
        conn = connect(autocommit=True)
        conn.execute("set idle_session_timeout = '50ms'")
        time.sleep(0.3)
        try:
            conn.execute("select 1")
            say_own("no error")
        except psycopg.Error as error:
            say_own(type(error).__name__, error.sqlstate, conn.closed, conn.broken)
        conn = connect()
        conn.execute("set idle_in_transaction_session_timeout = '50ms'")
        time.sleep(0.3)
        refused(conn.execute, "select 1")
        say(conn.closed, conn.broken)
        conn = connect()
        conn.execute("create table left_behind (); select pg_advisory_xact_lock(77)")
        conn.close()
        watcher.execute("set lock_timeout = '20s'")
        watcher.execute("select pg_advisory_xact_lock(77)")
        say(watcher.execute("select to_regclass('left_behind')").fetchone())


@step
def ended_by_others():
    """A session that is ended by pg_terminate_backend."""
    with connect(autocommit=True) as watcher:
        conn = connect()
        pid = conn.execute("select pg_backend_pid()").fetchone()[0]
        watcher.execute("select pg_terminate_backend(%s)", [pid])
        refused(conn.execute, "select 1")
        conn.close()
        conn = connect(autocommit=True)
        refused(conn.execute, "select pg_terminate_backend(pg_backend_pid())")
        say(conn.closed, conn.broken)


run()
