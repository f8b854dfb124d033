//! The processes of an app on this machine: started from a Procfile's commands, watched, ended with
//! everything that they started. Knows no network: what is wanted comes in, what they say and how
//! they fare goes out.

mod bridge;
pub mod dotenv;
mod keeper;
mod lines;
pub mod local;
mod process;
pub mod procfile;
mod slot;
mod team;

pub use keeper::keeper;
pub use process::{Ended, Setting, Streams};
pub use team::{Goal, Team};
