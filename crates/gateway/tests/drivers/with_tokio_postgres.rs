//! What tokio-postgres can do, with protocol code of its own. What it says is made in this process.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, IsolationLevel, NoTls, SimpleQueryMessage,
};

use crate::servers::Door;

/// A session, and what it is told besides answers.
struct Session {
    client: Client,
    told: UnboundedReceiver<String>,
    _driver: JoinSet<()>,
}

fn config(door: &Door) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(door.port).user(&door.tenant.role);
    config.password(&door.tenant.password).dbname(&door.tenant.database);
    config
}

async fn connect(config: &Config) -> Result<Session, Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let (sender, told) = unbounded_channel();
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        while let Some(message) = future::poll_fn(|cx| connection.poll_message(cx)).await {
            let text = match message {
                Ok(AsyncMessage::Notice(notice)) => format!("notice {notice} {:?}", notice.hint()),
                Ok(AsyncMessage::Notification(one)) => {
                    format!("notification {} {}", one.channel(), one.payload())
                }
                Ok(_) => continue,
                Err(error) => told_of(&error),
            };
            let _ = sender.send(text);
        }
    });
    Ok(Session { client, told, _driver: driver })
}

fn told_of(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!(
            "{} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            db.severity(),
            db.code().code(),
            db.message(),
            db.detail(),
            db.hint(),
            db.position(),
            db.where_(),
            db.table(),
            db.column(),
            db.constraint()
        ),
        None => error.to_string(),
    }
}

fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => told_of(&error),
    }
}

fn simple(result: Result<Vec<SimpleQueryMessage>, Error>) -> String {
    let messages = match result {
        Ok(messages) => messages,
        Err(error) => return told_of(&error),
    };
    let texts = messages.iter().map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            (0..row.len()).map(|n| row.get(n).unwrap_or("null")).collect::<Vec<_>>().join(",")
        }
        SimpleQueryMessage::CommandComplete(count) => format!("complete {count}"),
        SimpleQueryMessage::RowDescription(columns) => format!("{} columns", columns.len()),
        _ => "another".to_owned(),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Everything, as text.
pub(crate) async fn script(door: &Door) -> String {
    let mut said = String::new();
    let config = config(door);
    for part in [
        log_in(&config).await,
        types(&config).await,
        statements(&config).await,
        pipelines(&config).await,
        transactions(&config).await,
        copies(&config).await,
        signals(&config).await,
        simple_queries(&config).await,
        large(&config).await,
    ] {
        said.push_str(&part.expect("no unexpected error"));
    }
    said
}

macro_rules! say {
    ($said:ident, $($argument:tt)*) => { writeln!($said, $($argument)*).expect("memory") };
}

type Said = Result<String, Error>;

async fn log_in(config: &Config) -> Said {
    let mut said = "## log in\n".to_owned();
    let mut cases: Vec<(&str, Config)> = Vec::new();
    let mut case = |name, change: &dyn Fn(&mut Config)| {
        let mut other = config.clone();
        change(&mut other);
        cases.push((name, other));
    };
    case("as it is", &|_| {});
    case("wrong password", &|config| {
        config.password("wrong");
    });
    case("wrong role", &|config| {
        config.user("nobody");
    });
    case("wrong database", &|config| {
        config.dbname("missing");
    });
    case("a name", &|config| {
        config.application_name("n\u{e4}me");
    });
    case("options", &|config| {
        config.options("-c work_mem=7MB");
    });
    case("bad options", &|config| {
        config.options("-c no_such=1");
    });
    case("read-write", &|config| {
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    });
    case("read-only", &|config| {
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadOnly);
    });
    for (name, config) in cases {
        let answer = match connect(&config).await {
            Ok(session) => {
                let sql = "select current_user, current_setting('application_name'), current_setting('work_mem')";
                simple(session.client.simple_query(sql).await)
            }
            Err(error) => told_of(&error),
        };
        say!(said, "{name}: {answer}");
    }
    Ok(said)
}

async fn types(config: &Config) -> Said {
    let mut said = "## types\n".to_owned();
    let session = connect(config).await?;
    let sql = "select $1::bool, $2::int2, $3::int4, $4::int8, $5::float4, $6::float8, $7::text, $8::bytea, $9::int4[], $10::uuid, $11::timestamptz, $12::\"char\", $13::oid";
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let id = uuid::Uuid::from_u128(7);
    for turn in 0..3_i32 {
        let numbers = vec![Some(turn), None];
        let row = session
            .client
            .query_one(
                sql,
                &[
                    &(turn == 1),
                    &i16::MIN,
                    &turn,
                    &i64::MAX,
                    &1.5_f32,
                    &f64::MIN_POSITIVE,
                    &"t\u{e4}xt",
                    &&[0_u8, 1, 255][..],
                    &numbers,
                    &id,
                    &at,
                    &7_i8,
                    &u32::MAX,
                ],
            )
            .await?;
        say!(
            said,
            "{:?} {:?} {:?} {:?}",
            row.get::<_, bool>(0),
            row.get::<_, i16>(1),
            row.get::<_, i32>(2),
            row.get::<_, i64>(3)
        );
        say!(
            said,
            "{:?} {:?} {:?} {:?}",
            row.get::<_, f32>(4),
            row.get::<_, f64>(5),
            row.get::<_, &str>(6),
            row.get::<_, &[u8]>(7)
        );
        say!(
            said,
            "{:?} {:?} {:?}",
            row.get::<_, Vec<Option<i32>>>(8),
            row.get::<_, uuid::Uuid>(9),
            row.get::<_, SystemTime>(10)
        );
        say!(said, "{:?}", row.columns());
    }
    said.push_str(&types_of_ones_own(&session.client).await?);
    Ok(said)
}

async fn types_of_ones_own(client: &Client) -> Said {
    let mut said = String::new();
    let nothing: Option<&str> = None;
    say!(
        said,
        "{:?}",
        client.query_one("select $1::text", &[&nothing]).await?.get::<_, Option<&str>>(0)
    );
    client
        .batch_execute(
            "create type colour as enum ('red', 'blue'); create type pair as (a int, b colour)",
        )
        .await?;
    let statement = client.prepare("select $1::colour[], row(1, 'red')::pair").await?;
    say!(
        said,
        "{:?}",
        statement.params().iter().map(|t| (t.name(), t.schema())).collect::<Vec<_>>()
    );
    say!(
        said,
        "{:?}",
        statement.columns().iter().map(|c| (c.name(), c.type_().name())).collect::<Vec<_>>()
    );
    client.batch_execute("drop type pair; drop type colour").await?;
    Ok(said)
}

async fn statements(config: &Config) -> Said {
    let mut said = "## statements\n".to_owned();
    let session = connect(config).await?;
    let client = &session.client;
    let count = "select count(*) from pg_prepared_statements";
    let mut kept = Vec::new();
    for number in 0..200 {
        kept.push(client.prepare_typed(&format!("select $1 + {number}"), &[Type::INT8]).await?);
    }
    let mut sum = 0;
    for statement in &kept {
        sum += client.query_one(statement, &[&1_i64]).await?.get::<_, i64>(0);
    }
    say!(said, "{sum}");
    say!(said, "~ {}", simple(client.simple_query(count).await));
    drop(kept);
    // They are closed by and by; this is behind them in the queue.
    client.query_one("select 1", &[]).await?;
    say!(said, "~ {}", simple(client.simple_query(count).await));
    for sql in ["selekt", "select * from missing", "select $1", "select 1; select 2", ""] {
        say!(said, "{sql}: {}", shown(client.prepare(sql).await.map(|_| ())));
    }
    say!(said, "{}", shown(client.query("select 1 / $1::int", &[&0_i32]).await.map(|_| ())));
    say!(
        said,
        "{}",
        shown(
            client
                .query_typed("select $1::text || $2", &[(&"a", Type::TEXT), (&"b", Type::TEXT)])
                .await
                .map(|rows| rows[0].get::<_, String>(0))
        )
    );
    client.batch_execute("create temp table shape (a int)").await?;
    let stars = client.prepare("select * from shape").await?;
    client.batch_execute("alter table shape add b text").await?;
    say!(said, "{}", shown(client.query(&stars, &[]).await.map(|rows| rows.len())));
    client.batch_execute("deallocate all").await?;
    // Its name is made of a number that all sessions of the process have together.
    let gone = client.query(&stars, &[]).await.err();
    say!(said, "{:?}", gone.and_then(|error| error.code().cloned()));
    Ok(said)
}

async fn pipelines(config: &Config) -> Said {
    let mut said = "## pipelines\n".to_owned();
    let session = connect(config).await?;
    let client = &session.client;
    client.batch_execute("create temp table piped (a int primary key)").await?;
    let insert = client.prepare("insert into piped values ($1)").await?;
    let all = (0..2000_i32).map(|number| {
        let insert = &insert;
        async move {
            let number = if number % 500 == 499 { 1 } else { number };
            client
                .execute(insert, &[&number])
                .await
                .map_err(|error| error.code().map(|code| code.code().to_owned()))
        }
    });
    let ended = future::join_all(all).await;
    let failed: Vec<_> = ended.iter().filter_map(|result| result.as_ref().err()).collect();
    say!(said, "{} {failed:?}", ended.len());
    let queries = (0..500_i64)
        .map(|number| async move { client.query_one("select $1::int8 * 2", &[&number]).await });
    let sum: i64 =
        future::try_join_all(queries).await?.iter().map(|row| row.get::<_, i64>(0)).sum();
    say!(said, "{sum} {}", simple(client.simple_query("select count(*) from piped").await));
    Ok(said)
}

async fn transactions(config: &Config) -> Said {
    let mut said = "## transactions\n".to_owned();
    let mut session = connect(config).await?;
    let client = &mut session.client;
    client.batch_execute("create temp table kept (a int primary key)").await?;
    let mut transaction =
        client.build_transaction().isolation_level(IsolationLevel::Serializable).start().await?;
    transaction.execute("insert into kept values (1)", &[]).await?;
    let inner = transaction.savepoint("point").await?;
    say!(said, "{}", shown(inner.execute("insert into kept values (1)", &[]).await));
    say!(said, "{}", shown(inner.query("select 1", &[]).await.map(|_| ())));
    inner.rollback().await?;
    let portal = transaction.bind("select generate_series(1, 10)", &[]).await?;
    let mut sizes = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 4).await?;
        sizes.push(rows.len());
        if rows.is_empty() {
            break;
        }
    }
    say!(said, "{sizes:?}");
    transaction.commit().await?;
    let transaction = client.build_transaction().read_only(true).start().await?;
    say!(said, "{}", shown(transaction.execute("insert into kept values (2)", &[]).await));
    drop(transaction);
    say!(said, "{}", simple(client.simple_query("select * from kept").await));
    Ok(said)
}

async fn copies(config: &Config) -> Said {
    let mut said = "## copies\n".to_owned();
    let session = connect(config).await?;
    let client = &session.client;
    client.batch_execute("create temp table copied (id int primary key, t text)").await?;
    for (name, lines) in [("good", 0..40_000), ("twice", 0..10), ("more", 50_000..50_010)] {
        let mut sink = pin!(client.copy_in::<_, Bytes>("copy copied from stdin").await?);
        for number in lines {
            sink.feed(Bytes::from(format!("{number}\tline {number}\n"))).await?;
        }
        say!(said, "{name}: {}", shown(sink.finish().await));
    }
    {
        let mut dropped = Box::pin(client.copy_in::<_, Bytes>("copy copied from stdin").await?);
        dropped.send(Bytes::from_static(b"70000\tx\n")).await?;
    }
    for sql in [
        "copy copied to stdout",
        "copy copied to stdout (format binary)",
        "copy (select 1 where false) to stdout",
        "copy (select 1 / (5 - n) from generate_series(1, 9) n) to stdout",
    ] {
        let stream = client.copy_out(sql).await?;
        let size = stream.try_fold(0, |size, bytes| async move { Ok(size + bytes.len()) }).await;
        say!(said, "{sql}: {}", shown(size));
    }
    say!(said, "{}", shown(client.copy_out("copy missing to stdout").await.map(|_| ())));
    {
        let mut early = pin!(
            client
                .copy_out("copy (select repeat('x', 1000) from generate_series(1, 5000)) to stdout")
                .await?
        );
        say!(said, "{:?}", early.next().await.transpose()?.map(|bytes| bytes.len()));
    }
    say!(said, "{}", simple(client.simple_query("select count(*), sum(id) from copied").await));
    Ok(said)
}

async fn signals(config: &Config) -> Said {
    let mut said = "## notifications, notices, cancel\n".to_owned();
    let (mut ear, mouth) = (connect(config).await?, connect(config).await?);
    ear.client.batch_execute("listen channel").await?;
    mouth
        .client
        .batch_execute(
            "notify channel, 'one'; begin; notify channel, 'two'; notify channel, 'three'; commit",
        )
        .await?;
    ear.client
        .batch_execute(
            "notify channel, 'own'; do $$ begin raise warning 'warned' using hint = 'h'; end $$",
        )
        .await?;
    let mut told = Vec::new();
    while told.len() < 5 {
        told.push(timeout(Duration::from_secs(20), ear.told.recv()).await.ok().flatten());
    }
    // A notification of another session may come before or after a notice of one's own.
    told.sort();
    say!(said, "{told:#?}");
    let token = ear.client.cancel_token();
    let asleep = async {
        let sql = "select count(*) from pg_stat_activity where query like 'select pg_sleep(60) /* tokio */%' and wait_event = 'PgSleep'";
        while mouth.client.query_one(sql, &[]).await?.get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        token.cancel_query(NoTls).await
    };
    let (slept, cancelled) =
        tokio::join!(ear.client.batch_execute("select pg_sleep(60) /* tokio */"), asleep);
    say!(said, "{} {}", shown(slept), shown(cancelled));
    ear.client.batch_execute("set idle_session_timeout = '50ms'").await?;
    say!(said, "{:?}", timeout(Duration::from_secs(20), ear.told.recv()).await.ok().flatten());
    say!(said, "{}", shown(ear.client.batch_execute("select 1").await));
    Ok(said)
}

async fn simple_queries(config: &Config) -> Said {
    let mut said = "## simple queries\n".to_owned();
    let session = connect(config).await?;
    for sql in [
        "select 1; select 2, null",
        "",
        ";",
        "create temp table t (a int); insert into t values (1), (2); select * from t",
        "insert into t values (3); select 1/0; insert into t values (4)",
        "begin; select broken",
        "select 1",
        "rollback; select count(*) from t",
        "copy t to stdout",
        "show transaction_isolation",
        "discard all",
        "table t",
    ] {
        say!(said, "{sql}: {}", simple(session.client.simple_query(sql).await));
    }
    Ok(said)
}

async fn large(config: &Config) -> Said {
    let mut said = "## large\n".to_owned();
    let session = connect(config).await?;
    for size in [8191, 8192, 65_536, 1 << 20, 32 << 20] {
        let value = vec![7_u8; size];
        let row = session.client.query_one("select $1::bytea", &[&value]).await?;
        say!(said, "{size} {}", row.get::<_, &[u8]>(0) == value);
    }
    let text = "y".repeat(1100);
    let texts = vec![text.as_str(); 2000];
    let row = session
        .client
        .query_one("select sum(length(v)) from unnest($1::text[]) v", &[&texts])
        .await?;
    say!(said, "{}", row.get::<_, i64>(0));
    let rows = session
        .client
        .query("select n, repeat('r', 100) from generate_series(1, 50000) n", &[])
        .await?;
    say!(said, "{}", rows.len());
    Ok(said)
}
