//! The record of a session, before real PostgreSQL: what it notices, what it asks, and whether a
//! session that is filled from it is the same as the first. (H22)

#[allow(dead_code, reason = "the other tests do more with it")]
#[path = "../gateway/cluster.rs"]
mod cluster;
mod session;

mod carrying;
mod noticing;
mod sharing;
mod standby;
