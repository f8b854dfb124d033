//! The gateway is plain PostgreSQL to drivers (H22, M22): programs that use much of what a driver
//! can do say the same, byte for byte, straight to PostgreSQL and through the gateway.
//!
//! The programs are in `programs/`; `script/setup --test` installs the drivers. Each program talks
//! to a server of its own that nobody has used before, so that also object ids are the same.

#[path = "../gateway/cluster.rs"]
#[expect(dead_code, reason = "more of it is used by the tests of the gateway")]
mod cluster;
#[path = "../gateway/rig.rs"]
#[expect(dead_code, reason = "more of it is used by the tests of the gateway")]
mod rig;

mod compare;
mod programs;
mod servers;
mod stirring;
mod with_tokio_postgres;

use compare::Ports;
use programs::Program;

macro_rules! drivers {
    ($($name:ident, $major:literal, $ports:ident, $program:expr;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            compare::program(&$program, $major, Ports::$ports).await;
        }
    )+};
}

// With libpq 15, psycopg puts its statements away with DEALLOCATE, which the pooling port does not
// know.
drivers! {
    h22_psql_15, "15", Both, Program::psql("15");
    h22_psql_18, "18", Both, Program::psql("18");
    h22_m22_psycopg_15, "15", Usual, Program::psycopg("15");
    h22_m22_psycopg_18, "18", Both, Program::psycopg("18");
    h22_m22_asyncpg_15, "15", Both, Program::asyncpg();
    h22_m22_asyncpg_18, "18", Both, Program::asyncpg();
    h22_m22_node_postgres_15, "15", Both, Program::node_postgres();
    h22_m22_node_postgres_18, "18", Both, Program::node_postgres();
    h22_m22_jdbc_15, "15", Both, Program::jdbc();
    h22_m22_jdbc_18, "18", Both, Program::jdbc();
    h22_m22_tokio_postgres_15, "15", Both, Program::tokio_postgres();
    h22_m22_tokio_postgres_18, "18", Both, Program::tokio_postgres();
}
