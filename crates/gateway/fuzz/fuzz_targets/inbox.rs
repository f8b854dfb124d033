#![no_main]

#[path = "../targets/list.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: targets::plant("inbox"),
    |data: &[u8]| targets::run("inbox", data)
);
