//! The nouns of Howdah: ids, names, plans, versions, the state machines with their tables, and the
//! messages that the parts exchange. Everything here is pure: no I/O, no clock, no async, so that
//! it can be enumerated in tests and shared by every role.

pub mod agent;
pub mod attachment;
pub mod backup;
pub mod compliance;
pub mod database;
pub mod database_setting;
pub mod diagnosis;
pub mod explain;
pub mod extension;
pub mod frame;
pub mod ids;
pub mod incident;
pub mod link;
pub mod lsn;
pub mod machine;
pub mod maintenance;
pub mod name;
pub mod operation;
pub mod participant;
pub mod permission;
pub mod plan;
pub mod pool;
pub mod process;
pub mod protection;
pub mod route;
pub mod schedule;
pub mod scram;
pub mod secret;
pub mod setting;
pub mod size;
pub mod transfer;
pub mod version;
