//! What the API answers: the parts of each object that we use. They are also what `--json` prints,
//! which keeps it steady and free of what must not be shown.

use serde::{Deserialize, Serialize};

/// A thing by its name, within another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// An account, within another object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) email: String,
}

/// An app.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: Person,
    pub(crate) region: Named,
    pub(crate) stack: Named,
    pub(crate) git_url: String,
    pub(crate) web_url: String,
    pub(crate) maintenance: bool,
    pub(crate) created_at: String,
}

/// A collaborator of an app.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Collaborator {
    pub(crate) user: Person,
    #[serde(default)]
    pub(crate) role: Option<String>,
}

/// A price for a month.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Price {
    #[serde(default)]
    pub(crate) cents: u64,
    #[serde(default)]
    pub(crate) contract: bool,
}

impl Price {
    /// As people read it (C3): `free`, `$50/mo`.
    pub(crate) fn shown(&self) -> String {
        match self.cents {
            _ if self.contract => "contract".to_owned(),
            0 => "free".to_owned(),
            cents => format!("${}/mo", cents / 100),
        }
    }
}

/// A plan.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) human_name: String,
    #[serde(default)]
    pub(crate) price: Price,
}

impl Plan {
    /// The service, such as `heroku-postgresql`.
    pub(crate) fn service(&self) -> &str {
        self.name.split(':').next().unwrap_or(&self.name)
    }
}

/// Where an add-on is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum AddonState {
    Provisioning,
    Provisioned,
    Deprovisioning,
    Deprovisioned,
}

/// An add-on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addon {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: AddonState,
    pub(crate) app: Named,
    pub(crate) plan: Plan,
    #[serde(default)]
    pub(crate) billed_price: Option<Price>,
    #[serde(default)]
    pub(crate) config_vars: Vec<String>,
    #[serde(default)]
    pub(crate) provision_message: Option<String>,
    pub(crate) created_at: String,
}

impl Addon {
    /// Its price as people read it.
    pub(crate) fn price(&self) -> String {
        self.billed_price.as_ref().unwrap_or(&self.plan.price).shown()
    }
}

/// The add-on of an attachment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttachedAddon {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) app: Named,
    #[serde(default)]
    pub(crate) plan: Plan,
}

/// An attachment: the name of an add-on within an app.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    pub(crate) app: Named,
    pub(crate) addon: AttachedAddon,
    #[serde(default)]
    pub(crate) config_vars: Vec<String>,
}

impl Attachment {
    /// The config var that carries its URL.
    pub(crate) fn url_var(&self) -> String {
        let own = format!("{}_URL", self.name);
        let found = self.config_vars.iter().find(|var| var.ends_with("_URL"));
        if self.config_vars.contains(&own) { own } else { found.cloned().unwrap_or(own) }
    }
}

/// A release: one numbered change of an app.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) current: bool,
    #[serde(default)]
    pub(crate) eligible_for_rollback: bool,
    #[serde(default)]
    pub(crate) user: Option<Person>,
    #[serde(default)]
    pub(crate) addon_plan_names: Vec<String>,
    pub(crate) created_at: String,
}

/// The config vars of an app, sorted by name.
pub(crate) type ConfigVars = std::collections::BTreeMap<String, String>;

/// One line of `pg:info`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InfoRow {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    #[serde(default)]
    pub(crate) resolve_db_name: bool,
}

/// What `pg:info` knows of a database.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DatabaseInfo {
    pub(crate) info: Vec<InfoRow>,
    #[serde(default)]
    pub(crate) following: Option<String>,
}

/// Whether something is still on its way.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WaitStatus {
    #[serde(rename = "waiting?")]
    pub(crate) waiting: bool,
    #[serde(rename = "error?", default)]
    pub(crate) failed: bool,
    #[serde(default)]
    pub(crate) message: String,
}

/// A named role of a database, with its logins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Credential {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) database: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// None of the default one, which owns the tables.
    #[serde(default)]
    pub(crate) permission: Option<howdah_model::permission::Permission>,
    #[serde(rename = "credentials", default)]
    pub(crate) logins: Vec<Login>,
}

/// A login of a credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) user: String,
    /// None of one that is no longer handed out.
    #[serde(default)]
    pub(crate) password: Option<howdah_model::secret::Secret>,
    pub(crate) state: String,
}
