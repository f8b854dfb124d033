//! Copies of a template that are made in advance. Each keeps the template's mark, and serves once:
//! it becomes a data directory by a rename.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::template::MARK;
use crate::{RunAs, Template, copy, durable};

/// How far behind everything else the making of a copy comes: the `nice` of its thread.
const NICE: i32 = 15;

impl Template {
    /// Whether a copy is one of this template as it is now, made for the same user.
    #[must_use]
    pub fn has_copy(&self, copy: &Path, run_as: &RunAs) -> bool {
        self.is_mark_of(copy) && copy.metadata().is_ok_and(|meta| meta.uid() == run_as.uid())
    }

    /// Makes a copy, in place of whatever is there, behind everything else that this machine does.
    /// It is on the disk, complete, when it gets its name. `stop` is asked now and then whether to
    /// break off. One process and one task may do this in a directory at a time.
    ///
    /// # Errors
    /// Those of the file system, and `Interrupted` when it was broken off; nothing is left then.
    pub async fn make_copy(
        &self,
        copy: &Path,
        run_as: &RunAs,
        stop: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<()> {
        let (this, copy, run_as) = (self.clone(), copy.to_owned(), run_as.clone());
        let (done, result) = tokio::sync::oneshot::channel();
        // A thread of its own, as its priority cannot be raised again by everyone.
        std::thread::Builder::new().name("ready-copy".to_owned()).spawn(move || {
            // Without this it is made all the same.
            let _ = rustix::process::setpriority_process(None, NICE);
            let _ = done.send(this.make_copy_now(&copy, &run_as, &stop));
        })?;
        result.await.unwrap_or_else(|_| Err(io::Error::other("the copying thread broke off")))
    }

    fn make_copy_now(
        &self,
        copy: &Path,
        run_as: &RunAs,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let beside = durable::beside(copy);
        durable::remove_dir(&beside)?;
        durable::remove_dir(copy)?;
        let copied = copy::tree(self.data(), &beside, run_as, stop)
            .and_then(|_| durable::rename(&beside, copy));
        if copied.is_err() {
            // The first error is the one to tell; the next attempt cleans again.
            let _ = durable::remove_dir(&beside);
        }
        copied
    }

    /// Makes a copy a new data directory, which is there completely or not at all. Says whether
    /// it did: a copy that is not fit, or that someone else has just taken, does nothing.
    ///
    /// # Errors
    /// Those of the file system. The copy may be lost then; nothing else is left.
    pub fn take_copy(&self, copy: &Path, data: &Path, run_as: &RunAs) -> io::Result<bool> {
        if !self.has_copy(copy, run_as) {
            return Ok(false);
        }
        let beside = durable::beside(data);
        durable::remove_dir(&beside)?;
        match std::fs::rename(copy, &beside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        let taken =
            durable::remove_file(&beside.join(MARK)).and_then(|()| durable::rename(&beside, data));
        if taken.is_err() {
            // As above: the next attempt cleans again.
            let _ = durable::remove_dir(&beside);
        }
        taken.map(|()| true)
    }
}
