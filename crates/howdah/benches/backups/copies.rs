//! Capture and restore, ours and by hand, on the same servers in turns, on every installed major.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_testkit::clusters::majors;
use serde_json::{Value, json};

use crate::bed::{Bed, text, time};
use crate::{Measure, median};

/// Tables of the database; the work by hand shares them between its jobs.
const TABLES: usize = 4;
/// About what a row and its places in two indexes take, in bytes.
const ROW: f64 = 185.0;
const JOBS: &str = "--jobs=2";

pub(crate) fn run(measure: &Measure) {
    let mut remarks = Vec::new();
    println!("## Capture and restore\n");
    println!("| PostgreSQL | | ours, s | by hand, s | ratio |\n|---|---|---|---|---|");
    let majors = majors();
    let share = measure.patience / u32::try_from(majors.len()).unwrap_or(1);
    for major in majors {
        let hand = ByHand { bindir: major.bindir.clone(), zstd: major.version.major.0 >= 16 };
        remarks.push(of_major(measure, &major.version.to_string(), &hand, share));
    }
    println!("\n{}", remarks.join("\n"));
    println!("\nBy hand: straight at the socket, `pg_dump -Fd {JOBS}` with zstd (gzip on 15), and");
    println!("`pg_restore {JOBS}`. Goal: ≤ 1.1 of that.");
}

/// Answers a remark for below the table.
fn of_major(measure: &Measure, version: &str, hand: &ByHand, share: Duration) -> String {
    let bed = Bed::new();
    let major = version.split('.').next();
    let source = Database::new(&bed, major);
    let target = Database::new(&bed, major);
    fill(&bed, &source, measure.gigabytes);
    let facts = facts(&bed, &source.inside);
    let (mut captures, mut restores) = (Vec::new(), Vec::new());
    let began = Instant::now();
    let mut dumps = [0; 2];
    let mut round = 0;
    while round < measure.rounds.max(1) && (round == 0 || began.elapsed() < share) {
        let dir = bed.platform.home().with_file_name(format!("by-hand-{round}"));
        // Whoever is second finds what the first has read in memory: each is first in turn.
        let (mut ours, mut theirs) = ((0.0, 0.0), (0.0, 0.0));
        for turn in 0..2 {
            rest(&bed, [&source.inside, &target.inside]);
            if (turn + round) % 2 == 0 {
                let dump;
                (ours.0, dump) = captured(&bed, &source);
                dumps[0] = size_of(&bed, &dump);
                ours.1 = restored(&bed, &target, &dump);
                assert_eq!(self::facts(&bed, &target.inside), facts, "restored by us");
            } else {
                theirs.0 = time(|| hand.dump(&bed, &source, &dir));
                dumps[1] = bytes_in(&dir);
                theirs.1 = hand.restore(&bed, &target, &dir, &facts);
            }
        }
        captures.push((ours.0, theirs.0));
        restores.push((ours.1, theirs.1));
        let _ = std::fs::remove_dir_all(&dir);
        round += 1;
    }
    row(version, "capture", &captures);
    row(version, "restore", &restores);
    let [ours, theirs] = dumps.map(|bytes| bytes as f64 / 1e6);
    println!("| {version} | dump, MB | {ours:.0} | {theirs:.0} | {:.2} |", ours / theirs);
    format!(
        "{version}: {round} rounds; a database of {} in {TABLES} tables, equal after each restore.",
        source.size(&bed)
    )
}

fn row(version: &str, what: &str, pairs: &[(f64, f64)]) {
    let ours: Vec<_> = pairs.iter().map(|pair| pair.0).collect();
    let theirs: Vec<_> = pairs.iter().map(|pair| pair.1).collect();
    let ratios: Vec<_> = pairs.iter().map(|pair| pair.0 / pair.1).collect();
    let [ours, theirs, ratio] = [&ours, &theirs, &ratios].map(|values| median(values));
    println!("| {version} | {what} | {ours:.1} | {theirs:.1} | **{ratio:.2}** |");
}

/// A database of the platform, and the way to it as its superuser, without the gateway.
struct Database {
    name: String,
    /// As its tenant reaches it.
    url: String,
    inside: Inside,
}

/// A database on a socket.
#[derive(Clone)]
struct Inside {
    socket_dir: String,
    name: String,
}

impl Inside {
    fn conninfo(&self) -> String {
        format!("host={} user=howdah dbname={}", self.socket_dir, self.name)
    }
}

impl Database {
    fn new(bed: &Bed, major: Option<&str>) -> Self {
        let addon = bed.database("bench", "standard-0", major);
        let name = text(&addon, "name");
        let asked = format!(
            "select participant_id || ' ' || name from databases where addon_name = '{name}'"
        );
        let answer = bed.store(&asked);
        let (participant, database) = answer.split_once(' ').expect("two words");
        let inside = Inside { socket_dir: socket_dir(bed, participant), name: database.to_owned() };
        Self { name, url: bed.url("bench", &addon), inside }
    }

    fn size(&self, bed: &Bed) -> String {
        let asked = "select pg_size_pretty(pg_database_size(current_database()))";
        bed.psql(&[&self.url, "-c", asked])
    }
}

/// The socket directory of a participant, by what its postmaster has written.
fn socket_dir(bed: &Bed, participant: &str) -> String {
    let pid = bed.platform.home().join("p").join(participant).join("data/postmaster.pid");
    let text = std::fs::read_to_string(&pid).expect("the participant runs");
    text.lines().nth(4).expect("a socket directory").to_owned()
}

/// Rows of several types, with two indexes, that compress as texts of people do.
fn fill(bed: &Bed, database: &Database, gigabytes: f64) {
    let rows = (gigabytes * 1e9 / ROW / TABLES as f64) as u64;
    for table in 0..TABLES {
        let sql = format!(
            "create table t{table} (id bigint, owner int, amount numeric, note text, at timestamptz); \
             insert into t{table} select i, i % 9973, round(i * 0.37, 2), \
             md5((i / 3)::text) || ' ' || md5((i % 1000)::text), \
             timestamptz '2020-01-01' + i * interval '1 second' from generate_series(1, {rows}) i; \
             alter table t{table} add primary key (id); create index on t{table} (owner, at); \
             analyze t{table}"
        );
        bed.psql(&[&database.url, "-c", &sql]);
    }
    bed.psql(&[&database.inside.conninfo(), "-c", "checkpoint"]);
}

/// Waits until the platform has sent all WAL and base backups of what was done before.
fn rest(bed: &Bed, servers: [&Inside; 2]) {
    let asked = "select (select count(*) from pg_stat_progress_basebackup) \
         + (select count(*) from pg_ls_archive_statusdir() where name like '%.ready')";
    let is_busy = || servers.iter().any(|one| bed.psql(&[&one.conninfo(), "-c", asked]) != "0");
    let began = Instant::now();
    while is_busy() && began.elapsed() < Duration::from_secs(120) {
        #[expect(clippy::disallowed_methods, reason = "a rest")]
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// For each table its rows, and a sum that changes with any of them.
fn facts(bed: &Bed, inside: &Inside) -> String {
    let of = |table| {
        format!(
            "select 't{table}', count(*), sum(hashtextextended(t::text, 0)), \
             (select count(*) from pg_indexes where tablename = 't{table}') from public.t{table} t"
        )
    };
    let all: Vec<_> = (0..TABLES).map(of).collect();
    bed.psql(&[&inside.conninfo(), "-c", &all.join(" union all ")])
}

/// Seconds from the API call until the backup is complete, and its id.
fn captured(bed: &Bed, database: &Database) -> (f64, Value) {
    let mut transfer = Value::Null;
    let seconds = time(|| {
        let path = format!("/client/v11/databases/{}/backups", database.name);
        transfer = ended(bed, bed.post(&path, json!({ "expire": true })));
    });
    (seconds, transfer)
}

/// Seconds from the API call until the database has the rows of the backup.
fn restored(bed: &Bed, database: &Database, dump: &Value) -> f64 {
    time(|| {
        let path = format!("/client/v11/databases/{}/restores", database.name);
        let begun = bed.post(&path, json!({ "backup_url": dump["to_url"] }));
        ended(bed, begun);
    })
}

fn ended(bed: &Bed, mut transfer: Value) -> Value {
    let path = format!("/client/v11/apps/bench/transfers/{}", text(&transfer, "uuid"));
    while transfer["finished_at"].is_null() {
        #[expect(clippy::disallowed_methods, reason = "the pace of asking")]
        std::thread::sleep(Duration::from_millis(25));
        transfer = bed.get(&path);
    }
    let log = bed.get(&format!("{path}?verbose=true"));
    assert_eq!(transfer["succeeded"], true, "{log}");
    transfer
}

fn size_of(bed: &Bed, dump: &Value) -> u64 {
    let path = format!("/client/v11/apps/bench/transfers/{}", text(dump, "uuid"));
    bed.get(&path)["processed_bytes"].as_u64().unwrap_or_default()
}

fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the dump").flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// PostgreSQL's own programs, straight at the sockets, with two jobs.
struct ByHand {
    bindir: PathBuf,
    zstd: bool,
}

impl ByHand {
    fn dump(&self, bed: &Bed, database: &Database, dir: &Path) {
        let compress = if self.zstd { "--compress=zstd" } else { "--compress=6" };
        let (file, from) = (dir.display().to_string(), database.inside.conninfo());
        self.run(bed, "pg_dump", &["-Fd", JOBS, compress, "-f", &file, "-d", &from]);
    }

    /// Into a new database of the target's server. Seconds of `pg_restore` alone.
    fn restore(&self, bed: &Bed, target: &Database, dir: &Path, facts: &str) -> f64 {
        let beside = Inside { name: "by_hand".to_owned(), ..target.inside.clone() };
        let postgres = Inside { name: "postgres".to_owned(), ..target.inside.clone() }.conninfo();
        bed.psql(&[&postgres, "-c", "create database by_hand"]);
        let (file, into) = (dir.display().to_string(), beside.conninfo());
        let arguments = [JOBS, "--no-owner", "--no-privileges", "-d", &into, &file];
        let seconds = time(|| self.run(bed, "pg_restore", &arguments));
        assert_eq!(self::facts(bed, &beside), facts, "restored by hand");
        bed.psql(&[&postgres, "-c", "drop database by_hand"]);
        seconds
    }

    fn run(&self, bed: &Bed, program: &str, arguments: &[&str]) {
        let path = self.bindir.join(program).display().to_string();
        bed.platform.program(&path, arguments, &[]).ok();
    }
}
