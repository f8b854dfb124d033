//! A client that shows each of its messages to a record, as the gateway does.

use std::sync::Arc;
use std::time::Duration;

use howdah_gateway::message::{Builder, Inbox, Message};
use howdah_gateway::session::record::{Extent, Record, Reported, Script, Shelf, Tenure};
use howdah_gateway::startup::{self, Packet, Startup};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cluster::Cluster;

/// The longest that a server may take to answer.
const BOUND: Duration = Duration::from_secs(30);

/// A server with a tenant `app`, who may become `other`, and its database.
pub(crate) async fn ground(cluster: &Cluster) {
    cluster
        .sql(
            "create role app login password 'x'; create role other; grant other to app;
            create role boss superuser login password 'x'",
        )
        .await;
    cluster.sql("create database app owner app").await;
}

/// A connection without a record.
pub(crate) struct Client {
    stream: UnixStream,
    inbox: Inbox,
    pub(crate) startup: Startup,
    pub(crate) reported: Reported,
}

impl Client {
    pub(crate) async fn connect(cluster: &Cluster, parameters: &[(&str, &str)]) -> Self {
        let mut packet = (3_u32 << 16).to_be_bytes().to_vec();
        let usual = [("user", "app"), ("database", "app")];
        let given = |name: &str| parameters.iter().any(|(other, _)| *other == name);
        for (name, value) in usual.iter().filter(|(name, _)| !given(name)).chain(parameters) {
            packet.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        packet.push(0);
        let Ok(Packet::Startup(startup)) = startup::parse(&packet) else { panic!("a packet") };
        Self::open(cluster, startup).await
    }

    pub(crate) async fn open(cluster: &Cluster, startup: Startup) -> Self {
        let socket = cluster.socket_dir().join(".s.PGSQL.5432");
        let mut stream = UnixStream::connect(socket).await.expect("connected");
        stream.write_all(&startup.to_packet()).await.expect("sent");
        let reported = Reported::default();
        let mut client = Self { stream, inbox: Inbox::default(), startup, reported };
        let mut scram = ScramSha256::new(b"x", ChannelBinding::unsupported());
        loop {
            let message = client.receive().await;
            let answer = match (message.tag, message.body.get(3)) {
                (b'R', Some(10)) => {
                    let first = scram.message();
                    let length = u32::try_from(first.len()).expect("short").to_be_bytes();
                    [&b"SCRAM-SHA-256\0"[..], &length, first].concat()
                }
                (b'R', Some(11)) => {
                    scram.update(&message.body[4..]).expect("challenge");
                    scram.message().to_vec()
                }
                (b'R', Some(12)) => {
                    scram.finish(&message.body[4..]).expect("signature");
                    continue;
                }
                (b'S', _) => {
                    client.reported.note(&message.body);
                    continue;
                }
                (b'E', _) => panic!("{}", String::from_utf8_lossy(&message.body)),
                (b'Z', _) => return client,
                _ => continue,
            };
            client.send(&[Message { tag: b'p', body: answer }]).await;
        }
    }

    async fn receive(&mut self) -> Message {
        let next = timeout(BOUND, self.inbox.next(&mut self.stream, 1 << 24)).await;
        next.expect("in time").expect("a message")
    }

    pub(crate) async fn send(&mut self, messages: &[Message]) {
        let mut builder = Builder::default();
        messages.iter().for_each(|message| builder.copy(message));
        self.stream.write_all(&builder.into_bytes()).await.expect("sent");
    }

    /// What comes up to the last of so many `ReadyForQuery`.
    pub(crate) async fn until_ready(&mut self, mut count: usize) -> Vec<Message> {
        let mut answers = Vec::new();
        while count > 0 {
            let message = self.receive().await;
            count -= usize::from(message.tag == b'Z');
            if message.tag == b'S' {
                self.reported.note(&message.body);
            }
            answers.push(message);
        }
        answers
    }

    pub(crate) async fn run(&mut self, script: &Script) -> Vec<Message> {
        self.stream.write_all(&script.bytes).await.expect("sent");
        self.until_ready(script.ready).await
    }

    /// Runs a script that must succeed in all.
    pub(crate) async fn play(&mut self, script: &Script) {
        let answers = self.run(script).await;
        assert_eq!(script.judge(&answers), [], "{:?}", errors(&answers));
    }

    /// The rows of a simple query, columns joined.
    pub(crate) async fn ask(&mut self, sql: &str) -> Vec<String> {
        self.send(&[query(sql)]).await;
        let answers = self.until_ready(1).await;
        assert_eq!(errors(&answers), [""; 0], "{sql}");
        answers.iter().filter(|answer| answer.tag == b'D').map(row).collect()
    }

    /// All that a tenant could see of its session's state.
    pub(crate) async fn state(&mut self) -> Vec<String> {
        self.ask(
            "select format('%s=%s (%s)', name, setting, source) from pg_catalog.pg_settings
                where source in ('session', 'client', 'user', 'database') union all
            select format('%s=%s', n, pg_catalog.current_setting(n, true)) from
                pg_catalog.unnest('{app.tenant,app.flag,app.hidden,role,session_authorization}'::text[]) n
                union all
            select format('%s=%s', current_user, session_user) union all
            select format('prepared %s: %s %s %s', name, statement, parameter_types, from_sql)
                from pg_catalog.pg_prepared_statements union all
            select format('listens %s', c) from pg_catalog.pg_listening_channels() c order by 1",
        )
        .await
    }
}

/// A client with its record.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) record: Record,
}

impl Session {
    pub(crate) async fn open(cluster: &Cluster, parameters: &[(&str, &str)]) -> Self {
        Self::with(cluster, parameters, Tenure::Own).await
    }

    pub(crate) async fn with(
        cluster: &Cluster,
        parameters: &[(&str, &str)],
        tenure: Tenure,
    ) -> Self {
        let client = Client::connect(cluster, parameters).await;
        let shelf = Arc::new(Shelf::default());
        let record = Record::new(shelf, &client.startup, tenure, client.reported.clone());
        Self { client, record }
    }

    /// Sends messages and gives all answers to the record.
    pub(crate) async fn send(&mut self, messages: &[Message]) -> Vec<Message> {
        let mut count = 0;
        for message in messages {
            let body = &message.body;
            match message.tag {
                b'Q' => self.record.query(body, Extent::Whole),
                b'P' => self.record.parse(body, Extent::Whole),
                b'B' if self.record.follows_binds() => self.record.bind(body),
                b'C' => self.record.close(body),
                _ => {}
            }
            if matches!(message.tag, b'Q' | b'S') {
                self.record.request_ended();
                count += 1;
            }
        }
        self.client.send(messages).await;
        let answers = self.client.until_ready(count).await;
        for answer in &answers {
            let body = &answer.body;
            match answer.tag {
                b'1' => self.record.parse_complete(),
                b'3' => self.record.close_complete(),
                b'S' => self.record.parameter(body),
                b'C' => self.record.command_complete(body),
                b'E' => self.record.error(),
                b'Z' => self.record.ready(body[0]),
                _ => {}
            }
        }
        answers
    }

    /// Sends a simple query, which must succeed.
    pub(crate) async fn query(&mut self, sql: &str) {
        let answers = self.send(&[query(sql)]).await;
        assert_eq!(errors(&answers), [""; 0], "{sql}");
    }

    /// Prepares a statement with a name.
    pub(crate) async fn parse(&mut self, name: &str, sql: &str, types: &[u32]) {
        let answers = self.send(&[parse(name, sql, types), sync()]).await;
        assert_eq!(errors(&answers), [""; 0], "{sql}");
    }

    /// Asks the server, as the gateway does after a change.
    pub(crate) async fn learn(&mut self) {
        let script = self.record.snapshot();
        let answers = self.client.run(&script).await;
        let learnt = self.record.learn(&answers);
        assert_eq!(learnt, Ok(()), "{:?}", errors(&answers));
        assert!(!self.record.is_dirty());
    }

    /// Asks the server for what has changed, when the record says so.
    pub(crate) async fn settle(&mut self) {
        if self.record.is_dirty() {
            let script = self.record.brief_snapshot();
            let answers = self.client.run(&script).await;
            assert_eq!(self.record.learn(&answers), Ok(()), "{:?}", errors(&answers));
            assert!(!self.record.is_dirty());
        }
    }

    /// Another session, opened with the same packet and filled from the record.
    pub(crate) async fn twin(&self, cluster: &Cluster) -> Client {
        let mut twin = Client::open(cluster, self.client.startup.clone()).await;
        twin.play(&self.record.fill()).await;
        twin.play(&self.record.finish(&[])).await;
        twin
    }
}

/// The texts of all errors.
pub(crate) fn errors(answers: &[Message]) -> Vec<String> {
    let errors = answers.iter().filter(|answer| answer.tag == b'E');
    errors.map(|error| String::from_utf8_lossy(&error.body).replace('\0', " ")).collect()
}

fn row(message: &Message) -> String {
    let mut rest = &message.body[2..];
    let mut columns = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        columns.push(String::from_utf8_lossy(&after[..length]).into_owned());
        rest = &after[length..];
    }
    columns.join("|")
}

/// The rows among answers.
pub(crate) fn rows(answers: &[Message]) -> Vec<String> {
    answers.iter().filter(|answer| answer.tag == b'D').map(row).collect()
}

pub(crate) fn query(sql: &str) -> Message {
    Message { tag: b'Q', body: [sql.as_bytes(), &[0]].concat() }
}

pub(crate) fn parse(name: &str, sql: &str, types: &[u32]) -> Message {
    let mut body = format!("{name}\0{sql}\0").into_bytes();
    body.extend_from_slice(&u16::try_from(types.len()).expect("few").to_be_bytes());
    types.iter().for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
    Message { tag: b'P', body }
}

pub(crate) fn bind(name: &str, values: &[&str]) -> Message {
    let mut body = format!("\0{name}\0").into_bytes();
    body.extend_from_slice(&[0; 2]);
    body.extend_from_slice(&u16::try_from(values.len()).expect("few").to_be_bytes());
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body.extend_from_slice(&[0; 2]);
    Message { tag: b'B', body }
}

pub(crate) fn execute() -> Message {
    Message { tag: b'E', body: vec![0; 5] }
}

pub(crate) fn close(name: &str) -> Message {
    Message { tag: b'C', body: format!("S{name}\0").into_bytes() }
}

pub(crate) fn sync() -> Message {
    Message { tag: b'S', body: Vec::new() }
}
