//! The fuzz targets of `crates/gateway/fuzz`, for a moment each: bytes that come far, changed at
//! random. `HOWDAH_FUZZ_SECONDS` sets how long, `HOWDAH_FUZZ_SEED` where chance begins; what fails
//! is written down so that it can be run again by libFuzzer or with `HOWDAH_FUZZ_FILE`.

#[path = "../../fuzz/targets/list.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use targets::{ALL, Target};

/// The longest bytes that are made.
const LONGEST: usize = 4096;
/// What is kept to go on from, besides the seeds.
const KEPT: usize = 64;

/// Whether any thread has panicked; those of a gateway do not pass it on.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0).checked_rem(end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[2]
    }
}

/// Changes bytes a little.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    const TELLING: [u8; 12] = [0, 1, 4, 0x7f, 0x80, 0xff, b'Z', b'E', b'S', b'Q', b'\'', b'$'];
    let at = chance.below(bytes.len());
    let length = chance.below(9) + 1;
    match chance.below(8) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
        1 if !bytes.is_empty() => bytes[at] = TELLING[chance.below(TELLING.len())],
        2 if !bytes.is_empty() => bytes[at] = chance.byte(),
        3 => bytes.truncate(at),
        4 => drop(bytes.splice(at..at, (0..length).map(|_| chance.byte()).collect::<Vec<_>>())),
        5 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
        6 => {
            let copied = bytes[at..(at + length * 4).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, copied));
        }
        _ => {
            let from = chance.below(other.len());
            let to = (from + chance.below(64)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
    }
    bytes.truncate(LONGEST);
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

/// Runs a target and says whether it went well.
fn goes_well(target: &Target, bytes: &[u8]) -> bool {
    let ended = catch_unwind(AssertUnwindSafe(|| targets::run(target.name, bytes)));
    ended.is_ok() && !PANICKED.load(Ordering::SeqCst)
}

fn fuzz(name: &str) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target");
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::SeqCst);
        usual(info);
    }));
    if let Ok(file) = std::env::var("HOWDAH_FUZZ_FILE") {
        assert!(goes_well(target, &std::fs::read(file).expect("the file")));
        return;
    }
    let seeds = (target.seeds)();
    for seed in seeds.iter().map(Vec::as_slice).chain([&[][..]]) {
        run(target, seed);
    }
    let seed = number("HOWDAH_FUZZ_SEED", 1);
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut kept, mut count) = (seeds.clone(), 0u64);
    let until = Instant::now() + Duration::from_secs(number("HOWDAH_FUZZ_SECONDS", 2));
    while Instant::now() < until {
        let mut bytes = kept[chance.below(kept.len())].clone();
        for _ in 0..=chance.below(4) {
            let other = chance.below(seeds.len());
            mutate(&mut bytes, &seeds[other], &mut chance);
        }
        run(target, &bytes);
        count += 1;
        let place = seeds.len() + chance.below(KEPT);
        if place < kept.len() {
            kept[place] = bytes;
        } else if kept.len() < seeds.len() + KEPT {
            kept.push(bytes);
        }
    }
    println!("{name}: {count} runs from seed {seed}");
}

fn run(target: &Target, bytes: &[u8]) {
    if !goes_well(target, bytes) {
        let file = std::env::temp_dir().join(format!("howdah-fuzz-{}", target.name));
        std::fs::write(&file, bytes).expect("written");
        panic!("`{}` fails with the bytes in {}", target.name, file.display());
    }
}

macro_rules! each {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            fuzz(stringify!($name));
        }
    )*

        #[test]
        fn all_targets_are_run() {
            let names = ALL.map(|target| target.name);
            assert_eq!(names.as_slice(), [$(stringify!($name)),*]);
        }
    };
}

each!(startup frames scram_server scram_client inbox record session);
