//! Which database a command is about (A18): a config var, an attachment, a colour, an add-on, a
//! URL, or any of these of another app.

use howdah_model::name::{COLORS, PRIMARY};
use howdah_model::plan::SERVICE;

use crate::app;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::resources::{Attachment, ConfigVars};
use crate::session::Session;

/// A database, as an app sees it.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// The app whose attachment it is.
    pub(crate) app: String,
    /// The attachment that was meant.
    pub(crate) attachment: Attachment,
    /// All attachments of the same add-on on this app, the meant one included.
    siblings: Vec<Attachment>,
}

impl Database {
    /// The config var by which people know it: its own colour's rather than `DATABASE_URL`.
    pub(crate) fn var(&self) -> String {
        let own = self.siblings.iter().find(|one| one.name != PRIMARY && one.namespace.is_none());
        match own {
            Some(own) if self.attachment.name == PRIMARY => own.url_var(),
            Some(_) | None => self.attachment.url_var(),
        }
    }

    /// Its var, and whether it is the primary: `HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)`.
    pub(crate) fn label(&self) -> String {
        let var = self.var();
        let is_primary = self.siblings.iter().any(|one| one.name == PRIMARY);
        let primary = format!("{PRIMARY}_URL");
        if is_primary && var != primary { format!("{var} ({primary})") } else { var }
    }

    /// Whether one of its attachments, or its add-on, has this name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let all = self.siblings.iter().map(|one| one.name.as_str());
        let mut all = all.chain([self.attachment.name.as_str(), &self.attachment.addon.name]);
        all.any(|one| one == name) || self.siblings.iter().any(|one| one.url_var() == name)
    }

    /// The last part of its name, as the prompt of psql shows it: `GOLD`, `DATABASE`.
    pub(crate) fn color(&self) -> String {
        let var = self.var();
        let name = var.strip_suffix("_URL").unwrap_or(&var);
        let mut starts = name.match_indices('_').map(|(place, _)| &name[place + 1..]);
        starts.find(|rest| is_color(rest)).unwrap_or(name).to_owned()
    }
}

/// The database that a command names, or the primary one.
pub(crate) async fn named(session: &Session, given: &Given) -> Result<Database, Failure> {
    let typed = given.value("DATABASE").unwrap_or("DATABASE_URL");
    by_name(session, given, typed, None).await
}

/// The database that `typed` names; with `credential`, its attachment with that credential.
pub(crate) async fn by_name(
    session: &Session,
    given: &Given,
    typed: &str,
    credential: Option<&str>,
) -> Result<Database, Failure> {
    let (app, name) = app_and_name(session, given, typed)?;
    let all = attachments(session, &app).await?;
    if all.is_empty() {
        let message = format!("{app} has no databases.");
        let advice = Hint::CreateDatabase.fill(&[("APP", &app)]);
        return Err(Failure::not_found(message).advise(advice));
    }
    let mut meant: Vec<&Attachment> = all.iter().filter(|one| is_meant(one, name)).collect();
    let vars: ConfigVars;
    if meant.is_empty() {
        vars = session.get(&["apps", &app, "config-vars"]).await?;
        meant = by_value(&all, &vars, name);
    }
    let attachment = choose(&meant, credential).ok_or_else(|| unknown(&app, name, &all, &meant))?;
    Ok(with_siblings(&app, attachment, &all))
}

/// The app and the database's name in `demo::gold`; without an app before it, that of the call.
pub(crate) fn app_and_name<'t>(
    session: &Session,
    given: &Given,
    typed: &'t str,
) -> Result<(String, &'t str), Failure> {
    match typed.split_once("::") {
        Some((app, name)) if !typed.contains("://") => Ok((app.to_owned(), name)),
        Some(_) | None => Ok((app::named(session, given)?, typed)),
    }
}

/// All databases of an app, each once, in the order of the platform.
pub(crate) async fn all(session: &Session, app: &str) -> Result<Vec<Database>, Failure> {
    let all = attachments(session, app).await?;
    let mut found: Vec<Database> = Vec::new();
    for attachment in all.iter().filter(|one| one.namespace.is_none()) {
        if found.iter().all(|database| database.attachment.addon.id != attachment.addon.id) {
            found.push(with_siblings(app, attachment, &all));
        }
    }
    Ok(found)
}

/// The attachments of databases on an app.
pub(crate) async fn attachments(session: &Session, app: &str) -> Result<Vec<Attachment>, Failure> {
    let all: Vec<Attachment> = session.get(&["apps", app, "addon-attachments"]).await?;
    Ok(all.into_iter().filter(|one| one.addon.plan.service() == SERVICE).collect())
}

fn with_siblings(app: &str, attachment: &Attachment, all: &[Attachment]) -> Database {
    let siblings = all.iter().filter(|one| one.addon.id == attachment.addon.id).cloned();
    Database { app: app.to_owned(), attachment: attachment.clone(), siblings: siblings.collect() }
}

fn is_meant(attachment: &Attachment, typed: &str) -> bool {
    let upper = typed.to_uppercase();
    let name = upper.strip_suffix("_URL").unwrap_or(&upper);
    let is_its_color = is_color(name) && attachment.name.ends_with(&format!("_{name}"));
    let addon = &attachment.addon;
    attachment.name.to_uppercase() == name
        || attachment.config_vars.iter().any(|var| var.to_uppercase() == upper)
        || is_its_color
        || [&attachment.id, &addon.id, &addon.name].iter().any(|id| id.eq_ignore_ascii_case(typed))
}

/// `GOLD`, or `GOLD_2` when the colours have run out.
fn is_color(name: &str) -> bool {
    let color = name.trim_end_matches(|c: char| c.is_ascii_digit());
    COLORS.contains(&name) || color.strip_suffix('_').is_some_and(|color| COLORS.contains(&color))
}

/// A config var that people set to the URL of a database, or the URL itself, names it too.
fn by_value<'a>(all: &'a [Attachment], vars: &ConfigVars, typed: &str) -> Vec<&'a Attachment> {
    let upper = typed.to_uppercase();
    let var = vars.get(&upper).or_else(|| vars.get(&format!("{upper}_URL")));
    let url = if typed.contains("://") { Some(typed) } else { var.map(String::as_str) };
    let Some(url) = url else { return Vec::new() };
    all.iter().filter(|one| vars.get(&one.url_var()).is_some_and(|value| value == url)).collect()
}

/// One of several attachments that were meant, when they are all of one add-on.
fn choose<'a>(meant: &[&'a Attachment], credential: Option<&str>) -> Option<&'a Attachment> {
    let first = meant.first()?;
    if meant.iter().any(|one| one.addon.id != first.addon.id) {
        return None;
    }
    let wanted =
        credential.filter(|name| *name != "default").map(|name| format!("credential:{name}"));
    let mut fitting = meant.iter().filter(|one| one.namespace == wanted);
    let exact = fitting.clone().find(|one| one.name == PRIMARY);
    exact.or_else(|| fitting.next()).copied().or_else(|| {
        // An attachment named by its own name is meant whatever its credential is.
        (credential.is_none() && meant.len() == 1).then_some(*first)
    })
}

fn unknown(app: &str, typed: &str, all: &[Attachment], meant: &[&Attachment]) -> Failure {
    let mut names: Vec<_> = all.iter().map(Attachment::url_var).collect();
    names.sort();
    // A URL may carry a password.
    let typed = if typed.contains("://") { "that URL" } else { typed };
    let what = if meant.is_empty() { "Unknown database" } else { "Ambiguous database" };
    let message = format!("{what}: {typed}. Valid options are: {}", names.join(", "));
    let advice = Hint::ListDatabases.fill(&[("APP", app)]);
    Failure::new(Exit::NotFound, "unknown-database", message).advise(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{AttachedAddon, Named, Plan};

    fn attachment(name: &str, addon: &str, namespace: Option<&str>) -> Attachment {
        let named = |name: &str| Named { name: name.to_owned() };
        Attachment {
            id: format!("id-{name}"),
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            app: named("demo"),
            addon: AttachedAddon {
                id: format!("id-{addon}"),
                name: addon.to_owned(),
                app: named("demo"),
                plan: Plan { name: "heroku-postgresql:standard-0".into(), ..Plan::default() },
            },
            config_vars: vec![format!("{name}_URL")],
        }
    }

    #[test]
    fn a18_every_form_of_a_name_means_the_same_database() {
        let gold = attachment("HEROKU_POSTGRESQL_GOLD", "postgresql-calm-1", None);
        for typed in [
            "HEROKU_POSTGRESQL_GOLD_URL",
            "HEROKU_POSTGRESQL_GOLD",
            "heroku_postgresql_gold",
            "gold",
            "GOLD",
            "gold_url",
            "postgresql-calm-1",
            "id-HEROKU_POSTGRESQL_GOLD",
        ] {
            assert!(is_meant(&gold, typed), "{typed}");
        }
        for typed in ["purple", "OLD", "", "DATABASE_URL", "postgresql"] {
            assert!(!is_meant(&gold, typed), "{typed}");
        }
    }

    #[test]
    fn of_several_attachments_of_one_database_the_primary_with_the_wanted_credential_is_chosen() {
        let gold = attachment("HEROKU_POSTGRESQL_GOLD", "a", None);
        let primary = attachment("DATABASE", "a", None);
        let analyst = attachment("ANALYST", "a", Some("credential:analyst"));
        let meant = [&gold, &analyst, &primary];
        let name = |credential| choose(&meant, credential).map(|one| one.name.as_str());
        assert_eq!(name(None), Some("DATABASE"));
        assert_eq!(name(Some("default")), Some("DATABASE"));
        assert_eq!(name(Some("analyst")), Some("ANALYST"));
        assert_eq!(name(Some("nope")), None);
        assert_eq!(choose(&[&analyst], None).map(|one| one.name.as_str()), Some("ANALYST"));
        let other = attachment("HEROKU_POSTGRESQL_RED", "b", None);
        assert!(choose(&[&gold, &other], None).is_none());
    }

    #[test]
    fn d2_d8_a_primary_is_known_by_its_colour_with_the_mark() {
        let gold = attachment("HEROKU_POSTGRESQL_GOLD", "a", None);
        let primary = attachment("DATABASE", "a", None);
        let red = attachment("HEROKU_POSTGRESQL_RED", "b", None);
        let all = [gold, primary.clone(), red.clone()];
        let both = with_siblings("demo", &primary, &all);
        assert_eq!(both.label(), "HEROKU_POSTGRESQL_GOLD_URL (DATABASE_URL)");
        assert_eq!(both.color(), "GOLD");
        let second = with_siblings("demo", &red, &all);
        assert_eq!(
            (second.label(), second.color()),
            ("HEROKU_POSTGRESQL_RED_URL".into(), "RED".into())
        );
        let only = with_siblings("demo", &primary, &all[1..]);
        assert_eq!((only.label(), only.color()), ("DATABASE_URL".into(), "DATABASE".into()));
        let color = |name| with_siblings("demo", &attachment(name, "a", None), &[]).color();
        assert_eq!(
            (color("PG_PINK"), color("X_POSTGRESQL_PINK_2")),
            ("PINK".into(), "PINK_2".into())
        );
        assert_eq!(color("MY_REPORTS"), "MY_REPORTS");
    }
}
