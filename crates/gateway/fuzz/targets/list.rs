//! What is fuzzed: each target is a function of bytes that a stranger could have chosen, and panics
//! when something is not as it must be. They are run by libFuzzer (`crates/gateway/fuzz`), and for a
//! short time by a mutator of our own in the tests.

pub(crate) mod frames;
pub(crate) mod inbox;
pub(crate) mod record;
pub(crate) mod scram;
pub(crate) mod session;
pub(crate) mod startup;

/// A target: its name, itself, and bytes to begin with.
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// What is run with bytes.
    pub(crate) run: fn(&[u8]),
    /// Bytes that come far.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub(crate) const ALL: [Target; 7] = [
    Target { name: "startup", run: startup::run, seeds: startup::seeds },
    Target { name: "frames", run: frames::run, seeds: frames::seeds },
    Target { name: "scram_server", run: scram::run_server, seeds: scram::seeds_of_server },
    Target { name: "scram_client", run: scram::run_client, seeds: scram::seeds_of_client },
    Target { name: "inbox", run: inbox::run, seeds: inbox::seeds },
    Target { name: "record", run: record::run, seeds: record::seeds },
    Target { name: "session", run: session::run, seeds: session::seeds },
];

/// Runs a target by its name.
pub(crate) fn run(name: &str, data: &[u8]) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target");
    (target.run)(data);
}

/// Puts the seeds of a target into libFuzzer's corpus, in the working directory.
#[allow(dead_code, reason = "the tests have no corpus")]
pub(crate) fn plant(name: &str) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target");
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let file = format!("corpus/{name}/seed-{number}");
        std::fs::write(&file, seed).unwrap_or_else(|error| panic!("write `{file}`: {error}"));
    }
}

/// Bytes that are taken apart into values. What is missing is zero or empty.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next bytes, as many as the byte before them says, or as there are.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    /// The same with two bytes for the length.
    pub(crate) fn long(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        self.take(length)
    }

    /// So many bytes, or as many as there are.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether there is nothing more.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A message with its type byte.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// What [`Input::bytes`] gives back; longer ones are cut.
pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(255)];
    [&[u8::try_from(bytes.len()).expect("short")][..], bytes].concat()
}

/// What [`Input::long`] gives back.
pub(crate) fn counted_long(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("not that long");
    [&length.to_be_bytes()[..], bytes].concat()
}
