#![no_main]

#[path = "../targets/list.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: targets::plant("scram_server"),
    |data: &[u8]| targets::run("scram_server", data)
);
