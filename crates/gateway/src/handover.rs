//! Restarts that no session notices. A gateway that starts while another one of the same home
//! accepts clients (its *elder*) is given the listening sockets. From then on the elder accepts
//! nobody and carries the sessions that it has until they end; the younger one accepts, and passes
//! on to the elder what concerns the elder's sessions (cancel requests).
//!
//! The younger one says that it is ready before the elder lets go, and the two stay connected as long
//! as both live: when the younger one dies, the elder, which still has the sockets, accepts again. So
//! at every moment somebody accepts, or the kernel queues for whoever will.
//!
//! The right to accept is a `flock`. It belongs to the open file that is handed over with the
//! sockets, so it is held without a gap, and by nobody once all that had it have ended.
//!
//! Sessions themselves cannot change processes: those with TLS have their keys in this one's memory.

pub mod elders;
pub mod figures;
mod hand_on;
mod link;
pub mod listeners;
pub mod run_dir;
pub mod serve;
pub mod station;

use std::collections::HashMap;

use howdah_model::ids::DatabaseId;

pub(crate) use hand_on::freeze;
pub use listeners::Listeners;
pub use run_dir::RunDir;
pub use serve::{End, serve};
pub use station::Station;

/// Sessions of each database that count against its limit.
pub type Held = HashMap<DatabaseId, u32>;

/// What a gateway does about new clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// It accepts them.
    #[default]
    Serve,
    /// It leaves them to a younger gateway and carries the sessions that it has.
    Drain,
}
