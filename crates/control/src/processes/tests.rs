use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use howdah_model::process::Io;

use super::*;

/// A clock that goes on by hand.
#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::constant(1_800_000_000, 0)
            + SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        234
    }
}

fn processes() -> (Arc<Hand>, Processes, AppId) {
    let clock = Arc::new(Hand::default());
    (clock.clone(), Processes::new(clock), AppId::new())
}

fn one_off(name: DynoName) -> OneOff {
    OneOff { id: Uuid::now_v7(), name, command: "env".into(), env: BTreeMap::new(), io: Io::Log }
}

fn dyno(name: &str, one_off: Option<Uuid>) -> Dyno {
    Dyno {
        name: name.parse().expect("a name"),
        command: "x".into(),
        state: DynoState::Up,
        since: Timestamp::UNIX_EPOCH,
        release: 3,
        one_off,
    }
}

#[test]
fn an_app_has_one_runner_and_another_takes_over_when_it_has_been_silent() {
    let (clock, processes, app) = processes();
    let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let hold = |name: &str, instance, coming| processes.hold(app, name, instance, coming);
    let held = |by: &str| Err(Held { by: by.into() });
    assert_eq!(hold("a", first, Coming::New), Ok(()));
    assert_eq!(hold("b", second, Coming::New), held("a"));
    clock.0.store(44, Ordering::Relaxed);
    assert_eq!(hold("b", second, Coming::Again), held("a"));
    assert_eq!(processes.runner(app).as_deref(), Some("a"));
    clock.0.store(45, Ordering::Relaxed);
    assert_eq!(processes.runner(app), None);
    assert_eq!(hold("b", second, Coming::New), Ok(()));
    assert_eq!(hold("a", first, Coming::Again), held("b"), "who was away too long must stop");
    assert_eq!(hold("b", third, Coming::New), Ok(()), "the same name takes its place");
    assert_eq!(hold("b", second, Coming::Again), held("b"), "and does not lose it again");
    processes.leave(app, second);
    assert_eq!(processes.runner(app).as_deref(), Some("b"), "only its own instance leaves");
    processes.leave(app, third);
    assert_eq!(hold("a", first, Coming::Again), Ok(()));
}

#[test]
fn one_off_processes_wait_for_a_runner_and_are_taken_once() {
    let (clock, processes, app) = processes();
    let runner = Uuid::now_v7();
    processes.hold(app, "a", runner, Coming::New).expect("held");
    let mut news = processes.news(app);
    news.mark_unchanged();
    let first = processes.ask(app, 3, one_off).expect("asked");
    assert!(news.has_changed().expect("there"));
    let second = processes.ask(app, 3, one_off).expect("asked");
    assert_eq!((&*first.name.to_string(), &*second.name.to_string()), ("run.1234", "run.1235"));
    assert_eq!(processes.asked(app).1, [first.clone(), second]);
    processes.report(app, runner, vec![dyno("run.1234", Some(first.id)), dyno("web.1", None)]);
    assert_eq!(processes.asked(app).1.len(), 1);
    let names: Vec<_> = processes.dynos(app).iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["run.1234", "run.1235", "web.1"]);
    clock.0.store(60, Ordering::Relaxed);
    assert_eq!(processes.asked(app).1, []);
    assert_eq!(processes.dynos(app), [], "nothing is known of a runner that is away");
    for _ in 0..MOST_ASKED {
        processes.ask(app, 3, one_off).expect("asked");
    }
    assert_eq!(processes.ask(app, 3, one_off), Err(TooMany));
}

#[test]
fn orders_and_batches_of_lines_are_told_apart_from_their_repetitions() {
    let (clock, processes, app) = processes();
    let runner = Uuid::now_v7();
    processes.hold(app, "a", runner, Coming::New).expect("held");
    for _ in 0..200 {
        processes.order(app, Target::All, Verb::Restart);
    }
    let orders = processes.asked(app).0;
    assert_eq!(orders.len(), MOST_ORDERS);
    assert!(orders.is_sorted_by(|a, b| a.id < b.id));
    clock.0.store(600, Ordering::Relaxed);
    assert_eq!(processes.asked(app).0, []);
    assert!(processes.is_new(app, runner, 1) && processes.is_new(app, runner, 2));
    assert!(!processes.is_new(app, runner, 2) && !processes.is_new(app, runner, 1));
    let news = processes.news(app);
    processes.forget(app);
    assert!(news.has_changed().is_err(), "who waits learns that the app is gone");
}
