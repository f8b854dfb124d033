//! Base backups of real clusters, and restores of them.

mod bed;
mod broken;
mod chain;
mod damaged;
mod full;
mod killed;
mod load;
mod refused;
mod s3;
mod standby;
