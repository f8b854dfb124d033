#![no_main]

#[path = "../targets/list.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: targets::plant("record"),
    |data: &[u8]| targets::run("record", data)
);
