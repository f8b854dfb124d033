#![no_main]

#[path = "../targets/list.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: targets::plant("session"),
    |data: &[u8]| targets::run("session", data)
);
