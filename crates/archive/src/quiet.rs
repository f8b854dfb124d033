//! Work that must not be felt by anybody else: on threads of their own, of the lowest priority.
//!
//! The scheduler gives such threads what others leave. A server's process that works for one of
//! them is given a low priority as well, where this process may do that.

use std::future::Future;
use std::io;
use std::thread;

use rustix::process::{Pid, getpriority_process, setpriority_process};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Of our threads: what nobody else wants.
const LOWEST: i32 = 19;
/// Of a server's process: it may hold for a moment what others wait for, so it must get on.
const LOW: i32 = 10;

/// Does work on a thread of its own of the lowest priority, as are all threads that it uses for
/// what blocks. When the future is dropped, so is the work, at the next point where it waits.
///
/// # Errors
/// When there are no more threads, or when the work panicked.
pub async fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (answer, answered) = oneshot::channel();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    thread::Builder::new().name("quiet".to_owned()).spawn(move || {
        lower();
        let runtime = Builder::new_current_thread().enable_all().on_thread_start(lower).build();
        let done = runtime.map(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => None,
                    done = work() => Some(done),
                }
            })
        });
        // Nobody may be waiting any more.
        let _ = answer.send(done);
    })?;
    let gone = || io::Error::other("the thread of the lowest priority has ended");
    answered.await.map_err(|_| gone())??.ok_or_else(gone)
}

/// Lowers the priority of this thread. That is a kindness: without it all is right as well.
fn lower() {
    let _ = setpriority_process(None, LOWEST);
}

/// Lowers the priority of a process of a server that works for this thread, when this thread's is
/// low.
pub(crate) fn lower_server(process: i32) {
    let is_low = getpriority_process(None).is_ok_and(|priority| priority > 0);
    if let (true, Some(pid)) = (is_low, Pid::from_raw(process)) {
        let _ = setpriority_process(Some(pid), LOW);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_and_what_blocks_have_the_lowest_priority_and_nobody_else() {
        let priority = || getpriority_process(None).expect("ask for the priority");
        let before = priority();
        let of_work = run(move || async move {
            let of_blocking = tokio::task::spawn_blocking(priority).await.expect("wait");
            (priority(), of_blocking)
        });
        assert_eq!(of_work.await.expect("run"), (LOWEST, LOWEST));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_dropped() {
        let (held, dropped) = oneshot::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let work = run(move || async move {
            let _held = held;
            let _ = begin.send(());
            std::future::pending::<()>().await;
        });
        tokio::select! {
            _ = work => panic!("it never ends"),
            begun = begun => begun.expect("it begins"),
        }
        let dropped = tokio::time::timeout(Duration::from_secs(30), dropped).await;
        assert!(dropped.expect("in time").is_err());
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let ended = run(|| async { panic!("on purpose") });
        let ended: io::Result<()> = ended.await;
        assert!(ended.is_err());
    }
}
