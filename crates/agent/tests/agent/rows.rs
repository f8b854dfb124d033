//! Limits of rows, as an agent keeps them.

use howdah_model::compliance::Compliance;

use super::*;

impl Agent {
    /// Asks for looks until the database stands so.
    async fn stands(
        &self,
        spec: &ParticipantSpec,
        tenant: &Tenant,
        what: &str,
        so: fn(Option<Compliance>) -> bool,
    ) {
        let begin = Instant::now();
        loop {
            self.post(spec.id, &format!("{}/look", tenant.name), serde_json::json!({})).await;
            let seen = self.observe(None).await;
            let one = seen.participants.iter().find(|one| one.id == spec.id);
            let stands = one.and_then(|one| one.databases.get(&tenant.name)?.compliance);
            if so(stands) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(40), "not that {what}: {stands:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn refused(stands: Option<Compliance>) -> bool {
    matches!(stands, Some(Compliance::Refused { .. }))
}

fn within(stands: Option<Compliance>) -> bool {
    stands == Some(Compliance::Within)
}

/// Over its limit a database takes no rows: not after a crash, in which PostgreSQL loses its
/// statistics, not after the agent has died, and not after a reset has made way for more. Less than
/// the limit, or another plan, gives it all back.
#[tokio::test]
async fn c28_c29_a_limit_of_rows_is_kept_over_crashes_and_resets_and_goes_with_its_reason() {
    let major = majors().pop().unwrap();
    let mut agent = Agent::start(std::slice::from_ref(&major)).await;
    let (mut one, other) = (Tenant::new("one"), Tenant::new("other"));
    one.spec.row_limit = Some(1000);
    let mut spec = spec(&major, &[&one, &other]);
    let seen = agent.put_and_wait(&spec).await;
    let session = one.connect(&seen.socket_dir).await.unwrap();
    let (make, fill) = ("create table t (x int)", "insert into t select generate_series(1, 1001)");
    session.ask(make).await.unwrap();
    agent.stands(&spec, &one, "it is within", within).await;
    session.ask(fill).await.unwrap();
    agent.stands(&spec, &one, "rows are refused", refused).await;
    let denied = "42501: permission denied for table t";
    assert_eq!(session.ask(fill).await.unwrap_err(), denied);
    let neighbour = other.connect(&seen.socket_dir).await.unwrap();
    neighbour.ask(make).await.unwrap();
    neighbour.ask(fill).await.unwrap();
    neighbour.ask(fill).await.unwrap();

    // PostgreSQL and the agent die.
    agent.end().await;
    kill_process(agent.postmaster(spec.id).unwrap().pid, Signal::KILL).unwrap();
    agent.begin().await;
    agent.stands(&spec, &one, "rows are refused after a crash", refused).await;
    let session = one.connect(&seen.socket_dir).await.unwrap();
    assert_eq!(session.ask(fill).await.unwrap_err(), denied);

    // A reset empties it; what is over the limit again is refused at once.
    next(&mut spec);
    one.spec.incarnation = Incarnation(2);
    spec.databases.insert(one.name.clone(), one.spec.clone());
    agent.put_and_wait(&spec).await;
    let session = one.connect(&seen.socket_dir).await.unwrap();
    session.ask(make).await.unwrap();
    session.ask(fill).await.unwrap();
    let begin = Instant::now();
    while session.ask("insert into t values (1)").await.is_ok() {
        agent.stands(&spec, &one, "rows are refused again", refused).await;
        assert!(begin.elapsed() < Duration::from_secs(40), "rows are not refused again");
    }
    session.ask("delete from t where x > 10").await.unwrap();
    drop(session);
    agent.stands(&spec, &one, "it is within again", within).await;
    let session = one.connect(&seen.socket_dir).await.unwrap();
    session.ask(fill).await.unwrap();
    agent.stands(&spec, &one, "rows are refused once more", refused).await;

    next(&mut spec);
    one.spec.row_limit = None;
    spec.databases.insert(one.name.clone(), one.spec.clone());
    agent.put_and_wait(&spec).await;
    agent.stands(&spec, &one, "it has no limit", |stands| stands.is_none()).await;
    session.ask(fill).await.unwrap();
}
