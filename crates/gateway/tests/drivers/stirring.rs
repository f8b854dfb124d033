//! Other clients of a pool, so that a session hardly ever finds the server that it had before.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

use crate::servers::Door;

/// How many others there are.
const OTHERS: u64 = 3;

/// What the others leave behind in their sessions, which nobody else may see.
const LEAVE: &str = "set application_name = 'another'; set datestyle = 'German'; set search_path = 'nowhere'; set statement_timeout = '1h'";

/// Clients that take servers of a pool and give them back.
pub(crate) struct Spoon {
    others: JoinSet<()>,
    stop: CancellationToken,
    /// The servers that they had.
    servers: Arc<Mutex<HashSet<i32>>>,
}

impl Spoon {
    pub(crate) async fn start(door: &Door) -> Self {
        let (mut others, stop, servers) =
            (JoinSet::new(), CancellationToken::new(), Arc::default());
        for number in 0..OTHERS {
            let client = connect(door, &mut others).await;
            client.batch_execute(LEAVE).await.expect("set");
            let (stop, servers) = (stop.clone(), Arc::clone(&servers));
            others.spawn(async move {
                stop.run_until_cancelled(stir(&client, number, &servers)).await;
            });
        }
        Self { others, stop, servers }
    }

    /// Ends them. They had more than one server, or they stirred nothing.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) =
            timeout(Duration::from_secs(20), self.others.join_next()).await.expect("in time")
        {
            ended.expect("no panic");
        }
        let servers = self.servers.lock().expect("lock").len();
        assert!(servers > 1, "{servers} servers were used");
    }
}

async fn connect(door: &Door, tasks: &mut JoinSet<()>) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(door.port).user(&door.tenant.role);
    config.password(&door.tenant.password).dbname(&door.tenant.database);
    let (client, connection) = config.connect(NoTls).await.expect("in");
    tasks.spawn(async move {
        let _ = connection.await;
    });
    client
}

async fn stir(client: &Client, number: u64, servers: &Mutex<HashSet<i32>>) {
    loop {
        client.batch_execute("begin").await.expect("begin");
        let row = client.query_one("select pg_backend_pid(), current_setting('datestyle')", &[]);
        let row = row.await.expect("a row");
        assert_eq!(row.get::<_, String>(1), "German, DMY");
        servers.lock().expect("lock").insert(row.get(0));
        sleep(Duration::from_millis(3 + 4 * number)).await;
        client.batch_execute("commit").await.expect("commit");
        sleep(Duration::from_millis(2 + number)).await;
    }
}
