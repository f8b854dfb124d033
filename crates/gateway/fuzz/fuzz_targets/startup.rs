#![no_main]

#[path = "../targets/list.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: targets::plant("startup"),
    |data: &[u8]| targets::run("startup", data)
);
