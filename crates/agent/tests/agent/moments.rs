//! Exactness of rollbacks: at every instant, what was committed by then and nothing else.

use std::ops::RangeInclusive;

use howdah_model::protection::{Origin, Until};
use jiff::Timestamp;

use super::*;

/// Instants of each source. There are two of each major, so that they are 52 in all.
const INSTANTS: usize = 13;
/// Copies that are made at one time.
const AT_ONCE: usize = 3;
/// How long the writer writes.
const WRITING: Duration = Duration::from_secs(6);

/// Numbers that look random (splitmix64). The seed is printed, for whoever wants the same again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("HOWDAH_MOMENTS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            u64::try_from(now.as_micros()).unwrap()
        });
        eprintln!("HOWDAH_MOMENTS_SEED={seed}");
        Self(seed)
    }

    fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let span = u64::try_from(range.end() - range.start()).unwrap() + 1;
        range.start() + i64::try_from((z ^ (z >> 31)) % span).unwrap()
    }
}

/// The source, and when each of its rows was committed.
struct Written {
    tenant: Tenant,
    spec: ParticipantSpec,
    /// Number of the row and the microsecond of its commit, in order.
    commits: Vec<(i64, i64)>,
}

impl Written {
    /// The numbers of the rows that were committed by a moment: how many, and the highest.
    fn by(&self, moment: i64) -> String {
        let there = self.commits.iter().take_while(|(_, at)| *at <= moment);
        let (count, last) = there.fold((0, 0), |(count, _), (n, _)| (count + 1, *n));
        format!("{count} {last}")
    }

    /// A moment between the first and the last commit: any, that of a commit, or one microsecond
    /// before one.
    fn moment(&self, dice: &mut Dice) -> i64 {
        let last = self.commits.len() - 1;
        let row = usize::try_from(dice.within(1..=i64::try_from(last).unwrap())).unwrap();
        match dice.within(0..=2) {
            0 => self.commits[row].1,
            1 => self.commits[row].1 - 1,
            _ => dice.within(self.commits[0].1..=self.commits[last].1),
        }
    }
}

/// Commits numbered rows for a while, one, two or none in a transaction, over several segments of
/// WAL; a base backup is taken in the middle.
async fn write(agent: &Agent, major: &Installed, dice: &mut Dice) -> Written {
    let tenant = Tenant::new("source");
    let mut spec = spec(major, &[&tenant]);
    spec.settings.insert("track_commit_timestamp".to_owned(), "on".to_owned());
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    session.ask("create table t (n bigint primary key, payload text)").await.unwrap();
    agent
        .wait(spec.id, "there is a base backup", |one| {
            one.protected.as_ref().is_some_and(|protected| protected.backup.is_some())
        })
        .await;
    let (begin, mut n, mut backup) = (Instant::now(), 0, false);
    let row = |n: i64| {
        format!(
            "insert into t select {n}, string_agg(md5(random()::text), '') \
             from generate_series(1, 1000)"
        )
    };
    while begin.elapsed() < WRITING {
        if !backup && begin.elapsed() > WRITING / 2 {
            backup = true;
            next(&mut spec);
            spec.protection.backups += 1;
            assert_eq!(agent.put(&spec).await.status(), StatusCode::OK);
        }
        match dice.within(0..=9) {
            0 => {
                session.ask("begin").await.unwrap();
                session.ask(&row(-1)).await.unwrap();
                session.ask("rollback").await.unwrap();
            }
            1 => {
                session.ask("begin").await.unwrap();
                session.ask(&row(n + 1)).await.unwrap();
                session.ask(&row(n + 2)).await.unwrap();
                session.ask("commit").await.unwrap();
                n += 2;
            }
            _ => {
                session.ask(&row(n + 1)).await.unwrap();
                n += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(u64::try_from(dice.within(0..=8)).unwrap())).await;
    }
    let text = session
        .ask(
            "select string_agg(n || ' ' || (extract(epoch from pg_xact_commit_timestamp(xmin)) \
             * 1000000)::bigint, ',' order by n) from t",
        )
        .await
        .unwrap();
    let number = |text: &str| text.parse::<i64>().unwrap();
    let pair = |row: &str| row.split_once(' ').map(|(n, at)| (number(n), number(at))).unwrap();
    let commits: Vec<_> = text.split(',').map(pair).collect();
    assert!(commits.is_sorted_by_key(|(_, at)| *at) && commits.len() > 100, "{}", commits.len());
    // Everything after is later than every moment that is asked for.
    session.ask("insert into t values (0, 'late')").await.unwrap();
    Written { tenant, spec, commits }
}

/// Rolls the source back to a moment, and tells how many rows are there, and the highest.
async fn roll_back(agent: &Agent, source: &Written, moment: i64, name: &str) -> String {
    let mut tenant = Tenant::new(name);
    tenant.spec.adopts = Some(source.tenant.name.clone());
    let at = Timestamp::from_microsecond(moment).unwrap();
    let origin = Origin { timeline: source.spec.timeline, beside: None, until: Until::Time { at } };
    let mut spec = ParticipantSpec {
        id: ParticipantId::new(),
        timeline: TimelineId::new(),
        source: Source::Timeline(origin),
        databases: [(tenant.name.clone(), tenant.spec.clone())].into(),
        ..source.spec.clone()
    };
    let seen = agent.put_and_wait(&spec).await;
    let session = tenant.connect(&seen.socket_dir).await.unwrap();
    let sql = "select count(*) || ' ' || coalesce(max(n), 0) from t";
    let found = session.ask(sql).await.unwrap();
    next(&mut spec);
    spec.wanted = Wanted::Absent;
    assert_eq!(agent.put(&spec).await.status(), StatusCode::OK);
    agent.wait_gone(spec.id).await;
    found
}

async fn g1_every_instant_is_exact(major: &Installed) {
    let agent = Agent::start_with_archive(std::slice::from_ref(major)).await;
    let mut dice = Dice::new();
    let source = write(&agent, major, &mut dice).await;
    let moments: Vec<_> = (0..INSTANTS).map(|_| source.moment(&mut dice)).collect();
    let mut wrong = Vec::new();
    let numbered: Vec<_> = moments.into_iter().enumerate().collect();
    for some in numbered.chunks(AT_ONCE) {
        let (agent, source) = (&agent, &source);
        let copies = some.iter().map(|(n, moment)| async move {
            let found = roll_back(agent, source, *moment, &format!("m{n}")).await;
            (*moment, found)
        });
        for (moment, found) in futures_util::future::join_all(copies).await {
            let wanted = source.by(moment);
            if found != wanted {
                wrong.push(format!("at {moment}: {found}, not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {INSTANTS} are wrong: {wrong:#?}", wrong.len());
}

#[tokio::test]
async fn g1_rollbacks_of_the_oldest_major_are_exact_at_every_instant() {
    g1_every_instant_is_exact(majors().first().unwrap()).await;
}

#[tokio::test]
async fn g1_rollbacks_of_the_newest_major_are_exact_at_every_instant() {
    g1_every_instant_is_exact(majors().last().unwrap()).await;
}

#[tokio::test]
async fn g1_rollbacks_of_another_source_of_the_oldest_major_are_exact() {
    g1_every_instant_is_exact(majors().first().unwrap()).await;
}

#[tokio::test]
async fn g1_rollbacks_of_another_source_of_the_newest_major_are_exact() {
    g1_every_instant_is_exact(majors().last().unwrap()).await;
}
