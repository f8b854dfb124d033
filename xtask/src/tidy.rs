//! Conventions as checks: who may depend on whom, how long a file may be, what must not be there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::docs;

/// Which of our crates each of them may depend on. The direction of the arrows in ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("howdah-model", &[]),
    ("howdah-store", &["howdah-model"]),
    ("howdah-control", &["howdah-model", "howdah-store"]),
    ("howdah-web", &["howdah-model", "howdah-store", "howdah-control"]),
    ("howdah-cluster", &["howdah-model"]),
    ("howdah-archive", &["howdah-model"]),
    ("howdah-agent", &["howdah-model", "howdah-cluster", "howdah-archive"]),
    ("howdah-gateway", &["howdah-model"]),
    ("howdah-runner", &["howdah-model"]),
    ("howdah-cli", &["howdah-model", "howdah-runner"]),
    ("xtask", &["howdah-model", "howdah-cli"]),
];

/// Crates that may use every other: the executable, and what is only for tests.
const MAY_USE_ALL: &[&str] = &["howdah", "howdah-testkit"];

/// Crates that must not come in by any way: one TLS library, one source of cryptography.
const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "ring"];

/// Lines of a source file above which it must be listed in [`LONG`], with its reason.
const LONGEST: usize = 500;

/// Files that may be longer: tables.
const LONG: &[&str] = &[];

/// Words that say that something is not done.
const UNFINISHED: &[&str] = &["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"];

/// Checks everything and reports all that was found.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    dependencies(root, &mut findings)?;
    sources(root, &mut findings)?;
    for (path, text) in docs::pages() {
        if std::fs::read_to_string(root.join(path)).ok().as_ref() != Some(&text) {
            findings.push(format!("{path} is not what the code says: run `cargo xtask docs`"));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{}", findings.join("\n"))
}

fn dependencies(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    banned(root, findings)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let ours = name == "xtask" || name == "howdah" || name.starts_with("howdah-");
        if !ours || MAY_USE_ALL.contains(&name) {
            continue;
        }
        let Some((_, may)) = MAY_USE.iter().find(|(of, _)| *of == name) else {
            findings.push(format!("the crate {name} is not in xtask's table of dependencies"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            let ours = on == "howdah" || on.starts_with("howdah-");
            if ours && !for_tests && !may.contains(&on) {
                findings.push(format!("{name} must not depend on {on}"));
            }
        }
        if package["features"].as_object().is_some_and(|features| !features.is_empty()) {
            findings.push(format!("{name} has cargo features; behaviour is chosen at run time"));
        }
    }
    Ok(())
}

/// What is really built. (The metadata also names what only other features would bring in.)
fn banned(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--prefix=none", "--format={p}"])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    let tree = String::from_utf8_lossy(&output.stdout);
    let names: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in BANNED.iter().filter(|name| names.contains(**name)) {
        findings.push(format!("the crate {name} came in; see `cargo tree -i {name}`"));
    }
    Ok(())
}

fn sources(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let mut files = BTreeMap::new();
    for dir in ["crates", "xtask"] {
        collect(&root.join(dir), &mut files)?;
    }
    for (path, text) in files {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        if lines > LONGEST && !LONG.contains(&shown.as_str()) {
            findings.push(format!("{shown} has {lines} lines; {LONGEST} are the most"));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if ["mod", "utils", "util", "common", "helpers", "misc", "prelude"].contains(&stem) {
            findings.push(format!("{shown}: a file is named after its idea"));
        }
        if !shown.ends_with("tidy.rs") {
            for word in UNFINISHED {
                if text.contains(word) {
                    findings.push(format!("{shown} holds `{word}`"));
                }
            }
        }
    }
    Ok(())
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            files.insert(path, text);
        }
    }
    Ok(())
}
