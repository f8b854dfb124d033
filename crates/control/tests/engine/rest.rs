//! What the platform costs when nothing happens.

use std::time::Duration;

use crate::ground::Ground;

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
