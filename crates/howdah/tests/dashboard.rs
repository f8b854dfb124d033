//! The dashboard in a real browser, over a whole platform.

use std::path::PathBuf;

use howdah_testkit::platform::Platform;

/// Where `script/setup --test` has installed playwright-core.
fn playwright() -> PathBuf {
    if let Some(given) = std::env::var_os("HOWDAH_TEST_PLAYWRIGHT") {
        return PathBuf::from(given);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache"));
    let modules = cache.join("howdah/playwright/node_modules");
    assert!(modules.exists(), "playwright-core is not installed: run script/setup --test");
    modules
}

#[test]
fn a1_a3_a25_c17_c18_a_person_does_all_of_it_in_a_browser_without_scripts() {
    let binary = env!("CARGO_BIN_EXE_howdah");
    let platform = Platform::start(binary, &[("HOWDAH_POOL_SIZE", "1")]);
    let (url, key) = (platform.url(), platform.say("auth:token").ok());
    let modules = playwright().display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/dashboard.mjs");
    let env = [
        ("HOWDAH", binary),
        ("HOWDAH_URL", &url),
        ("OWNER_KEY", key.trim()),
        ("PLAYWRIGHT_MODULES", &modules),
        ("PICTURES", concat!(env!("CARGO_TARGET_TMPDIR"), "/dashboard")),
    ];
    let _ = platform.program("node", &[script], &env).ok();
}
