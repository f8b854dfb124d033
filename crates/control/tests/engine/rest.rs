//! What the platform costs when nothing happens.

use std::time::{Duration, Instant};

use howdah_control::clock::{Clock as _, SystemClock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ground::Ground;
use crate::workers::{agent_at_work, control};

/// Databases, half of them with a participant of their own, half in a shared one.
async fn furnished(databases: usize) -> Ground {
    let ground = Ground::new(1).await;
    for number in 0..databases {
        let plan = if number % 2 == 0 { "standard-0" } else { "hobby-dev" };
        ground.ask_for_database(ground.apps[number % 3], plan, number).await;
    }
    ground
}

#[tokio::test]
async fn databases_at_rest_are_looked_at_together_and_take_no_turns() {
    const DATABASES: usize = 60;
    let ground = furnished(DATABASES).await;
    let mut worker = ground.worker(0).await;
    ground.settle(&mut worker, Duration::from_secs(600)).await;
    let (mut rounds, mut looked) = (0, 0);
    for _ in 0..60 {
        ground.stage.pass(Duration::from_secs(1));
        ground.show(&worker).await;
        loop {
            let round = worker.engine.round(32).await.expect("a round");
            assert!(round.turns.is_empty(), "{:?}", round.turns);
            if round.claimed == 0 {
                break;
            }
            rounds += 1;
            looked += round.claimed;
        }
    }
    let machines = DATABASES + DATABASES / 2 + 1;
    assert!(looked >= machines, "each is looked at every {} s", 30);
    assert!(looked <= 3 * machines, "{looked} looks in a minute at {machines} machines");
    assert!(rounds <= looked / 16, "{rounds} rounds for {looked} looks");
}

/// HOWDAH_REST_SECONDS=60 measures the control plane with its store for so long, in real time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_at_rest_is_measured_when_asked_for() {
    const DATABASES: usize = 200;
    let Ok(seconds) = std::env::var("HOWDAH_REST_SECONDS") else {
        return;
    };
    let window = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let ground = furnished(DATABASES).await;
    ground.stage.set(SystemClock.now());
    sqlx::query("update machines set wake_at = now(), since = now()")
        .execute(&ground.pool)
        .await
        .expect("bring them to the present");
    let mut tasks = JoinSet::new();
    agent_at_work(&ground, &mut tasks);
    let cancelled = CancellationToken::new();
    let (control, token) = (control(&ground), cancelled.clone());
    tasks.spawn(async move { control.run(token).await.expect("run") });
    let begun = Instant::now();
    loop {
        let available: i64 = sqlx::query_scalar(
            "select count(*) from machines where kind = 'database' and state = 'available'",
        )
        .fetch_one(&ground.pool)
        .await
        .expect("count");
        if usize::try_from(available) == Ok(DATABASES) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "only {available} are there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("{DATABASES} databases were made in {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (ours, theirs) = (cpu_of_us(), cpu_of_children(ground.postmaster()));
    tokio::time::sleep(window).await;
    let share = |used: Duration| 100.0 * used.as_secs_f64() / window.as_secs_f64();
    let ours = share(cpu_of_us() - ours);
    let theirs = share(cpu_of_children(ground.postmaster()).saturating_sub(theirs));
    eprintln!("at rest: control {ours:.2} % of a core, its PostgreSQL {theirs:.2} %");
    assert!(ours + theirs < 10.0);
    cancelled.cancel();
    tasks.shutdown().await;
}

fn cpu_of_us() -> Duration {
    cpu("/proc/self/stat")
}

/// Of a postmaster and all its processes that live.
fn cpu_of_children(postmaster: u32) -> Duration {
    let path = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let all = children.split_whitespace().map(str::to_owned).chain([postmaster.to_string()]);
    all.map(|pid| cpu(&format!("/proc/{pid}/stat"))).sum()
}

/// User and system time from a `stat` of proc, in ticks of 10 ms.
fn cpu(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let after_name = text.rsplit(") ").next().unwrap_or_default();
    let ticks = |index| after_name.split(' ').nth(index).and_then(|text| text.parse::<u64>().ok());
    Duration::from_millis(10 * (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)))
}
