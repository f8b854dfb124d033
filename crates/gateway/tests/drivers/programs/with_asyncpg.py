"""What asyncpg can do, with protocol code of its own: binary formats, statements prepared for
everything, cursors by portals."""

import asyncio
import datetime
import decimal
import ipaddress
import os
import ssl
import uuid

import asyncpg
from steps import digest, hide, run, say, say_own, step


def tls(check=True):
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"] if check else None)
    if not check:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # As TLS without a request before it must.
    context.set_alpn_protocols(["postgresql"])
    return context


def connect(**more):
    return asyncpg.connect(**{"host": "localhost", "port": int(os.environ["PGPORT"]), "ssl": tls(), **more})


def tell(error):
    say(type(error).__name__, getattr(error, "sqlstate", None), hide(str(error)))


async def refused(coroutine):
    try:
        say("no error", await coroutine)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ssl.SSLError, asyncpg.InternalClientError,
            asyncio.TimeoutError, OSError) as error:
        tell(error)


async def until_running(text):
    conn = await connect()
    try:
        for _ in range(3000):
            if await conn.fetchval("select count(*) from pg_stat_activity where wait_event = 'PgSleep' and pid <> pg_backend_pid()"
                                   " and query like $1", f"%{text}%"):
                return
            await asyncio.sleep(0.01)
        raise TimeoutError(text)
    finally:
        await conn.close()


def with_connection(function):
    """Makes a step of a coroutine that takes a connection."""
    async def whole():
        conn = await connect()
        try:
            await function(conn)
        finally:
            if not conn.is_closed():
                await conn.close(timeout=10)
    def runs():
        asyncio.run(whole())
    runs.__name__ = function.__name__
    return step(runs)


@with_connection
async def log_in(conn):
    say(conn.get_server_version()[:2])
    say_own(conn.get_server_pid() == await conn.fetchval("select pg_backend_pid()"))
    settings = conn.get_settings()
    say({name: getattr(settings, name) for name in "client_encoding server_encoding TimeZone DateStyle is_superuser "
         "application_name integer_datetimes session_authorization".split() if hasattr(settings, name)})
    cases = [{"ssl": False}, {"ssl": "require"}, {"ssl": "prefer"}, {"ssl": "allow"}, {"ssl": tls(False)}, {"ssl": ssl.create_default_context()},
             {"host": "127.0.0.1"}, {"password": "wrong"}, {"user": "nobody"}, {"database": "missing"},
             {"server_settings": {"application_name": "asyncpg \u00e4", "work_mem": "7MB", "my.own": "set"}},
             {"server_settings": {"no_such_setting": "1"}}, {"server_settings": {"search_path": "a, b"}}]
    if conn.get_server_version()[0] >= 17:
        cases.append({"direct_tls": True})
    for case in cases:
        say("#", {name: value if isinstance(value, (str, dict, bool)) else "context" for name, value in case.items()})
        async def tries():
            other = await connect(**case)
            try:
                return await other.fetchrow("select current_user, current_setting('application_name'), current_setting('work_mem'),"
                                            " nullif(current_setting('my.own', true), ''), current_setting('search_path')")
            finally:
                await other.close()
        await refused(tries())


@with_connection
async def types(conn):
    utc = datetime.timezone.utc
    cases = [
        ("bool", [True, False, None]), ("int2", [-32768, 32767]), ("int4", [-2**31, 2**31 - 1]), ("int8", [-2**63, 2**63 - 1]),
        ("float4", [1.5, float("inf")]), ("float8", [5e-324, -0.1]), ("numeric", [decimal.Decimal("1234567890.0987654321"), decimal.Decimal("NaN")]),
        ("text", ["", "\u00e4\u20ac\U0001f418", "x" * 70000]), ("varchar", ["v"]), ("char", ["c"]), ("bytea", [b"", bytes(range(256))]),
        ("date", [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]), ("time", [datetime.time(23, 59, 59, 999999)]),
        ("timetz", [datetime.time(12, tzinfo=utc)]), ("timestamp", [datetime.datetime(2000, 2, 29, 12, 30)]),
        ("timestamptz", [datetime.datetime(1970, 1, 1, tzinfo=utc)]), ("interval", [datetime.timedelta(days=-40, microseconds=5)]),
        ("uuid", [uuid.UUID(int=77)]), ("json", ['{"a": 1}']), ("jsonb", ['{"a": [1, null]}']), ("inet", [ipaddress.ip_interface("192.0.2.1/24")]),
        ("cidr", [ipaddress.ip_network("2001:db8::/32")]), ("macaddr", ["08:00:2b:01:02:03"]), ("point", [asyncpg.Point(1, 2)]),
        ("box", [asyncpg.Box((1, 2), (0, 0))]), ("circle", [asyncpg.Circle((1, 2), 3)]),
        ("bit(5)", [asyncpg.BitString("10101")]), ("varbit", [asyncpg.BitString("111")]), ("int4range", [asyncpg.Range(1, 5)]),
        ("tstzrange", [asyncpg.Range(empty=True)]), ("int4[]", [[], [1, None, 3], [[1, 2], [3, 4]]]), ("text[]", [["a,b", '"', None]]),
        ("oid", [2**32 - 1]), ("xid", [7]), ("tid", [(1, 2)]), ("pg_lsn", [5]), ("money", ["$1.50"]), ("int4multirange", [[asyncpg.Range(1, 3)]]),
    ]
    for name, values in cases:
        for value in values:
            try:
                back = await conn.fetchval(f"select $1::{name}", value)
                say(name, repr(back) if len(repr(back)) < 300 else digest(repr(back)))
            except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
                tell(error)
    await conn.execute("create type pair as (name text, number int); create type colour as enum ('red', 'blue'); create domain small as int check (value < 10)")
    say(await conn.fetchval("select $1::pair[]", [("a", 1), ("b", None)]), await conn.fetchval("select $1::colour", "blue"))
    await refused(conn.fetchval("select $1::small", 11))
    await conn.execute("alter type pair add attribute more text")
    await refused(conn.fetchval("select row('x', 1, 'y')::pair"))
    await conn.reload_schema_state()
    say(await conn.fetchval("select row('x', 1, 'y')::pair"))
    await conn.execute("drop type pair, colour; drop domain small")


@with_connection
async def prepared_statements(conn):
    statement = await conn.prepare("select $1::int + $2::int as sum, $3::text")
    say([p.name for p in statement.get_parameters()], [(a.name, a.type.name) for a in statement.get_attributes()], statement.get_statusmsg())
    say(await statement.fetchrow(1, 2, "x"), await statement.fetch(3, 4, None), statement.get_statusmsg())
    say(await statement.fetchmany([(1, 1, "a"), (2, 2, "b")]))
    for turn in range(3):
        total = 0
        for number in range(250):
            total += await conn.fetchval(f"select {number} + $1::int", turn)
        say(turn, total)
        say_own(await conn.fetchval("select count(*) from pg_prepared_statements"))
    small = await connect(statement_cache_size=3, max_cacheable_statement_size=50)
    for number in list(range(10)) * 2:
        await small.fetchval(f"select $1::int * {number}", 2)
    say_own(await small.fetchval("select count(*) <= 4 from pg_prepared_statements"))
    say(await small.fetchval("select 'long' || " + "' '" * 50))
    await small.close()
    none = await connect(statement_cache_size=0)
    say([await none.fetchval("select $1::int", number) for number in range(5)])
    say_own(await none.fetchval("select count(*) from pg_prepared_statements"))
    await none.close()
    await conn.execute("create temp table shape (a int)")
    say(await conn.fetch("select * from shape"))
    await conn.execute("alter table shape add b text")
    await refused(conn.fetch("select * from shape"))
    async with conn.transaction():
        await conn.execute("insert into shape values (1, 'b')")
        await conn.execute("alter table shape drop b")
    await refused(conn.fetch("select * from shape"))
    await conn.execute("deallocate all")
    await refused(conn.fetchval("select 5 + $1::int", 1))
    await refused(conn.fetchval("select 1 / $1::int", 0))
    await refused(conn.fetchval("select $1::int", "no number"))
    await refused(conn.fetchval("select $1", 1))
    await refused(conn.fetchval("select * from missing"))
    await refused(conn.fetch("select 1; select 2", *[]))
    named = await conn.prepare("select 'named'", name="a name of one's own")
    say(await named.fetchval())
    say_own(await conn.fetchval("select count(*) from pg_prepared_statements where name like 'a name%'"))


@with_connection
async def transactions(conn):
    await conn.execute("create table rows (id int primary key)")
    try:
        async with conn.transaction(isolation="serializable"):
            await conn.execute("insert into rows values (1)")
            try:
                async with conn.transaction():
                    await conn.execute("insert into rows values (2)")
                    await conn.execute("insert into rows values (1)")
            except asyncpg.PostgresError as error:
                tell(error)
            say(await conn.fetch("select id from rows"), conn.is_in_transaction())
            raise KeyError("away")
    except KeyError:
        say(await conn.fetch("select id from rows"))
    transaction = conn.transaction(readonly=True, deferrable=True, isolation="serializable")
    await transaction.start()
    await refused(conn.execute("insert into rows values (5)"))
    await refused(conn.execute("select 1"))
    await transaction.rollback()
    await conn.executemany("insert into rows values ($1)", [(n,) for n in range(1000, 5000)])
    await refused(conn.executemany("insert into rows values ($1)", [(n,) for n in list(range(6000, 8000)) + [6000]]))
    say(await conn.fetchrow("select count(*), max(id) from rows"))
    say(await conn.execute("delete from rows where id < 1500"), await conn.execute("insert into rows values (1); select 1; delete from rows"))
    await refused(conn.execute("insert into rows values (1); select 1/0; insert into rows values (2)"))
    say(await conn.fetchval("select count(*) from rows"), await conn.execute("drop table rows"))


@with_connection
async def cursors(conn):
    async with conn.transaction():
        total = 0
        async for record in conn.cursor("select n, repeat('x', n % 100) from generate_series(1, 3000) n where n > $1", 10, prefetch=37):
            total += record[0]
        cursor = await conn.cursor("select generate_series(1, 100)")
        say(total, await cursor.fetchrow(), len(await cursor.fetch(10)), await cursor.forward(50), await cursor.fetch(3))
        statement = await conn.prepare("select generate_series(1, $1::int)")
        portal = await statement.cursor(5)
        say(await portal.fetch(3), await portal.fetch(3), await portal.fetch(3))
        failing = await conn.cursor("select 10 / (20 - n) from generate_series(1, 30) n")
        say(len(await failing.fetch(10)))
        try:
            async with conn.transaction():
                await failing.fetch(15)
        except asyncpg.PostgresError as error:
            tell(error)
        say(await conn.fetchval("select 'usable'"))
    await refused(cursor.fetch(1))


@with_connection
async def copy(conn):
    await conn.execute("create temp table copied (id int primary key, t text, d date)")
    records = [(n, f"text {n}", datetime.date(2020, 1, 1)) for n in range(30000)]
    say(await conn.copy_records_to_table("copied", records=records))
    out = bytearray()
    async def take(data):
        out.extend(data)
    say(await conn.copy_from_query("select * from copied where id < $1 order by id", 20000, output=take, format="csv", header=True), digest(bytes(out)))
    out.clear()
    say(await conn.copy_from_table("copied", output=take, format="binary"), digest(bytes(out)))
    await conn.execute("truncate copied")
    async def give():
        for start in range(0, len(out), 50000):
            yield bytes(out[start:start + 50000])
    say(await conn.copy_to_table("copied", source=give(), format="binary"))
    async def breaks():
        yield b"99999\tx\t2020-01-01\n" * 1
        raise KeyError("the source broke")
    try:
        await conn.copy_to_table("copied", source=breaks())
    except KeyError as error:
        say("broke", error)
    async def bad():
        yield b"99998\tx\t2020-01-01\n"
        yield b"bad\tx\n"
    await refused(conn.copy_to_table("copied", source=bad()))
    await refused(conn.copy_records_to_table("copied", records=[(1, "twice", None)]))
    await refused(conn.copy_from_query("select 1 / (5 - n) from generate_series(1, 9) n", output=take))
    await refused(conn.copy_from_table("missing", output=take))
    async def slow(data):
        await asyncio.sleep(60)
    await refused(conn.copy_from_query("select repeat('z', 1000) from generate_series(1, 100000)", output=slow, timeout=0.3))
    say(await conn.fetchval("select count(*) from copied"))


@with_connection
async def listen_and_notify(ear):
    mouth = await connect()
    heard, arrived = [], asyncio.Event()
    def hears(conn, pid, channel, payload):
        heard.append((channel, payload if len(payload) < 100 else digest(payload)))
        say_own({mouth.get_server_pid(): "mouth", ear.get_server_pid(): "ear"}.get(pid))
        arrived.set()
    await ear.add_listener("channel", hears)
    await mouth.execute("notify channel")
    await mouth.execute("select pg_notify('channel', $1)", "\u00fc" * 3500)
    await ear.execute("notify channel, 'own'")
    while len(heard) < 3:
        arrived.clear()
        await asyncio.wait_for(arrived.wait(), 20)
    await ear.remove_listener("channel", hears)
    await mouth.execute("notify channel")
    say(heard, await ear.fetchval("select count(*) from pg_listening_channels()"))
    await mouth.close()


@with_connection
async def cancel_and_time_outs(conn):
    await refused(conn.fetchval("select pg_sleep(60)", timeout=0.2))
    say(await conn.fetchval("select 'usable'"))
    task = asyncio.create_task(conn.fetchval("select pg_sleep(60) /* cancel by asyncpg */"))
    await until_running("cancel by asyncpg")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        say("cancelled")
    say(await conn.fetchval("select 'usable'"))
    await conn.execute("set statement_timeout = 50")
    await refused(conn.fetchval("select pg_sleep(60)"))
    await conn.execute("reset statement_timeout")
    await conn.execute("set idle_in_transaction_session_timeout = 50")
    await conn.execute("begin")
    await asyncio.sleep(0.5)
    await refused(conn.execute("select 1"))
    say(conn.is_closed())


@with_connection
async def notices_and_session(conn):
    conn.add_log_listener(lambda _, message: say("log", message.as_dict()))
    await conn.execute("do $$ begin raise notice 'n'; raise warning 'w' using hint = 'h', errcode = '01ABC'; end $$")
    await conn.execute("set application_name = 'changed'; set timezone = 'Asia/Tokyo'; set client_encoding = 'utf8'")
    say(conn.get_settings().application_name, conn.get_settings().TimeZone)
    await conn.execute("create temp table mine as select 1 a; listen l; select pg_advisory_lock(1); set work_mem = '9MB'")
    await conn.reset()
    say(await conn.fetchrow("select current_setting('work_mem'), current_setting('timezone'), (select count(*) from pg_listening_channels()),"
                            " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), to_regclass('mine') is not null"))


@with_connection
async def large(conn):
    for size in 8191, 65536, 1 << 20, 32 << 20:
        value = bytes([size % 250]) * size
        say(size, await conn.fetchval("select $1::bytea", value) == value)
    most = 32767
    marks = ", ".join(f"${n + 1}::int" for n in range(most))
    say(await conn.fetchval(f"select (select sum(v) from unnest(array[{marks}]) v)", *range(most)))
    await refused(conn.fetchval(f"select (select sum(v) from unnest(array[{marks}, $32768::int]) v)", *range(most + 1)))
    say(await conn.fetchval("select sum(length(v)) from unnest($1::text[]) v", ["y" * 1100] * 2000))
    say(len(await conn.fetch("select n, repeat('r', 100) from generate_series(1, 100000) n")))


@step
def a_pool():
    async def whole():
        async with asyncpg.create_pool(host="localhost", ssl=tls(), min_size=2, max_size=6) as pool:
            async def one(number):
                async with pool.acquire() as conn, conn.transaction():
                    await conn.execute("set local my.number = '%d'" % number)
                    return await conn.fetchval("select current_setting('my.number')::int * $1", 2)
            say(sum(await asyncio.gather(*(one(number) for number in range(300)))))
    asyncio.run(whole())


run()
