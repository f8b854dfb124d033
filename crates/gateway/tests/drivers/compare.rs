//! Runs a program both ways and compares what it says.

use std::path::Path;

use crate::programs::Program;
use crate::servers::{Door, Ways};
use crate::stirring::Spoon;

/// Lines of what was said before a difference that are shown with it.
const CONTEXT: usize = 12;

/// Which ports of the gateway a program is run on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// The usual one.
    Usual,
    /// The pooling port too.
    Both,
}

/// Runs a program straight to a server of a major version and through the gateway.
pub(crate) async fn program(program: &Program, major: &str, ports: Ports) {
    let bin = Path::new("/usr/lib/postgresql").join(major).join("bin");
    let mut ways = Ways::start(&bin, "").await;
    let (straight, session, pooled) = (ways.straight(), ways.session(), ways.pooled());
    let on_pool = async {
        match ports {
            Ports::Both => Some(stirred(program, &pooled).await),
            Ports::Usual => None,
        }
    };
    let (straight, session, pooled) =
        tokio::join!(program.run(&straight), program.run(&session), on_pool);
    ways.stop().await;
    let said =
        [("straight", Some(&straight)), ("session", Some(&session)), ("pooled", pooled.as_ref())];
    for (way, said) in said {
        said.into_iter().for_each(|said| keep(way, major, said));
    }
    assert_same(&straight, &session);
    if let Some(pooled) = pooled {
        assert_same(&without_own(&straight), &without_own(&pooled));
    }
}

/// Runs a program while others use the same servers.
async fn stirred(program: &Program, door: &Door) -> String {
    let spoon = Spoon::start(door).await;
    let said = program.run(door).await;
    spoon.stop().await;
    said
}

/// Without the lines of what only a session with a server of its own has. A program marks them, so
/// that each difference of the pooling port stands where it is made:
///
/// * process numbers (`pg_backend_pid()`, those of notifications) are of the server at that moment;
/// * `pg_prepared_statements` shows the names that the gateway gave, and `EXECUTE` and `DEALLOCATE`
///   in SQL do not find statements that were prepared by messages;
/// * a name like `my.setting` that another session used may be known, with an empty value;
/// * `idle_session_timeout` ends nobody who has no server.
fn without_own(said: &str) -> String {
    said.lines()
        .filter(|line| !line.starts_with("~ "))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// For people who look into a difference: the outputs as files, where they ask for them.
fn keep(way: &str, major: &str, said: &str) {
    if let Some(dir) = std::env::var_os("HOWDAH_TEST_KEEP") {
        let name = std::thread::current().name().unwrap_or_default().replace("::", "-");
        let file = Path::new(&dir).join(format!("{name}.{major}.{way}"));
        std::fs::write(file, said).expect("written");
    }
}

/// Shows the first difference with the lines before it.
pub(crate) fn assert_same(straight: &str, other: &str) {
    // A program that says next to nothing proves nothing.
    assert!(straight.len() > 5_000, "it says too little: {straight}");
    if straight == other {
        return;
    }
    let same = straight.lines().zip(other.lines()).take_while(|(one, two)| one == two).count();
    let show = |text: &str| {
        text.lines()
            .skip(same.saturating_sub(CONTEXT))
            .take(CONTEXT * 2)
            .collect::<Vec<_>>()
            .join("\n")
    };
    panic!(
        "line {}\n--- straight\n{}\n--- through the gateway\n{}",
        same + 1,
        show(straight),
        show(other)
    );
}
