//! For tests only: throw-away PostgreSQL clusters and whole platforms, each in a directory of its
//! own below HOWDAH_TEST_TMP (or the system's directory for temporary files).

pub mod clusters;
pub mod faults;
pub mod heroku;
pub mod pair;
pub mod platform;
pub mod s3;
pub mod scratch;
pub mod servers;
