//! SSH keys of the account (A5).

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::command::{Argument, Command, Group, Times, command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::prompt;
use crate::session::{Ignored, Session};

/// Where a public key is looked for, best first.
const DEFAULTS: &[&str] = &["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub", "id_dsa.pub"];

pub(super) const COMMANDS: &[Command] = &[
    command("keys", Group::Account, "List your SSH keys", |s, g| Box::pin(list(s, g)))
        .aliases(&["keys:list"])
        .examples(&["howdah keys"]),
    command("keys:add", Group::Account, "Add an SSH public key", |s, g| Box::pin(add(s, g)))
        .arguments(&[Argument {
            name: "PATH",
            times: Times::Optional,
            means: "file of the public key [default: the one in ~/.ssh]",
        }])
        .examples(&["howdah keys:add", "howdah keys:add ~/.ssh/id_ed25519.pub"]),
    command("keys:remove", Group::Account, "Remove an SSH key", |s, g| Box::pin(remove(s, g)))
        .arguments(&[Argument {
            name: "KEY",
            times: Times::Once,
            means: "its id, its fingerprint or its comment",
        }])
        .examples(&["howdah keys:remove dev@laptop"]),
];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Key {
    id: String,
    fingerprint: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    public_key: String,
    created_at: String,
}

impl Key {
    /// What people call it: the comment, which is also the last part of the key itself.
    fn name(&self) -> &str {
        if self.comment.is_empty() {
            return self.public_key.splitn(3, ' ').nth(2).unwrap_or_default().trim();
        }
        &self.comment
    }
}

async fn list(session: &Session, _given: &Given) -> Result<(), Failure> {
    let keys: Vec<Key> = session.get(&["account", "keys"]).await?;
    if keys.is_empty() {
        session.nothing("You have no SSH keys.", &Hint::AddKey.plain());
    }
    session.answer("keys", &keys, |page| {
        if !keys.is_empty() {
            let row = |key: &Key| {
                [key.name().to_owned(), key.fingerprint.clone(), page.time(&key.created_at)]
            };
            let rows: Vec<_> = keys.iter().map(row).collect();
            page.table(["Key", "Fingerprint", "Added"], &rows);
        }
    })
}

async fn add(session: &Session, given: &Given) -> Result<(), Failure> {
    let path = match given.value("PATH") {
        Some(path) => session.environment.directory.join(path),
        None => found(session)?,
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::not_found(format!("{}: {error}", path.display())))?;
    if !text.starts_with("ssh-") && !text.starts_with("ecdsa-") && !text.starts_with("sk-") {
        // Most likely the private half: its content must go nowhere.
        let message = format!("{} holds no SSH public key", path.display());
        return Err(Failure::usage(message).advise(Hint::AddKey.plain()));
    }
    let step = session.step(&format!("Uploading SSH public key {}", path.display()));
    let body = json!({ "public_key": text.trim() });
    let key: Key = session.post(&["account", "keys"], body).await?;
    step.done();
    session.answer("key", &key, |_| {})
}

fn found(session: &Session) -> Result<PathBuf, Failure> {
    let home = session.environment.get("HOME").unwrap_or(".");
    let directory = Path::new(home).join(".ssh");
    let existing = DEFAULTS.iter().map(|name| directory.join(name)).find(|path| path.is_file());
    if let Some(path) = existing {
        session.say(&format!("Found existing public key: {}", path.display()));
        return Ok(path);
    }
    session.say("Could not find an existing public key.");
    if session.may_ask && prompt::yes(session, "Would you like to generate one?")? {
        return generate(session, &directory);
    }
    let message = format!("There is no public key in {}", directory.display());
    Err(Failure::not_found(message).advise(Hint::AddKey.plain()))
}

fn generate(session: &Session, directory: &Path) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, "no-key", why);
    let program = session.environment.program("ssh-keygen").ok_or_else(|| {
        failed(
            "The local ssh-keygen command could not be located.\nInstall OpenSSH's client.".into(),
        )
    })?;
    std::fs::create_dir_all(directory)
        .map_err(|error| failed(format!("{}: {error}", directory.display())))?;
    let private = directory.join("id_ed25519");
    let made = Program::new(program)
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&private)
        .output()
        .map_err(|error| failed(format!("ssh-keygen: {error}")))?;
    if !made.status.success() {
        return Err(failed(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
    }
    let public = private.with_extension("pub");
    session.say(&format!("Generated {}", public.display()));
    Ok(public)
}

async fn remove(session: &Session, given: &Given) -> Result<(), Failure> {
    let typed = given.needed("KEY")?;
    let keys: Vec<Key> = session.get(&["account", "keys"]).await?;
    let is_meant = |key: &&Key| [key.id.as_str(), &key.fingerprint, key.name()].contains(&typed);
    let Some(key) = keys.iter().find(is_meant) else {
        let names: Vec<_> = keys.iter().map(Key::name).collect();
        let message = format!("No SSH key `{typed}`. There are: {}", names.join(", "));
        return Err(Failure::not_found(message));
    };
    let step = session.step(&format!("Removing {} SSH key", key.name()));
    session.delete::<Ignored>(&["account", "keys", &key.id]).await?;
    step.done();
    session.answer("key", key, |_| {})
}
