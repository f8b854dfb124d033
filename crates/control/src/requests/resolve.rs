//! What people call a database, and which one they mean (A18).
//!
//! Pure: the lists come from the store, already cut down to what the account may see.

use howdah_model::name::AttachmentName;
use howdah_model::plan::SERVICE;
use howdah_store::addons::Addon;
use howdah_store::attachments::Attachment;

/// The attachments of one app that `wanted` may mean: by the attachment's name, with or without
/// `_URL`, by its id, or by the name or id of the add-on. A bare colour is found when nothing else
/// has that name.
pub fn attachments<'a>(
    of_app: &'a [Attachment],
    wanted: &str,
    prefix: &str,
) -> Vec<&'a Attachment> {
    let found: Vec<_> = of_app.iter().filter(|one| means_attachment(one, wanted)).collect();
    if !found.is_empty() {
        return found;
    }
    let colored = format!("{prefix}_{wanted}");
    of_app.iter().filter(|one| is_named(&one.name, &colored)).collect()
}

fn means_attachment(one: &Attachment, wanted: &str) -> bool {
    is_named(&one.name, wanted)
        || one.id.to_string().eq_ignore_ascii_case(wanted)
        || one.addon_name.as_str().eq_ignore_ascii_case(wanted)
        || one.database_id.to_string().eq_ignore_ascii_case(wanted)
}

fn is_named(name: &AttachmentName, wanted: &str) -> bool {
    name.as_str().eq_ignore_ascii_case(wanted) || name.url_var().eq_ignore_ascii_case(wanted)
}

/// The add-ons of one app that `wanted` may mean: all that [`attachments`] knows, the name or id of
/// one that is not attached, the service, or the plan. `of_app` are the app's attachments,
/// `addons` those that it owns or uses.
pub fn addons<'a>(
    of_app: &[Attachment],
    addons: &'a [Addon],
    wanted: &str,
    prefix: &str,
) -> Vec<&'a Addon> {
    let named = attachments(of_app, wanted, prefix);
    let means = |addon: &&Addon| {
        named.iter().any(|one| one.database_id == addon.id)
            || addon.name.as_str().eq_ignore_ascii_case(wanted)
            || addon.id.to_string().eq_ignore_ascii_case(wanted)
            || wanted == SERVICE
            || addon.plan.full_name() == wanted
    };
    addons.iter().filter(means).collect()
}

/// Splits `app::name`, as people write it for a database of another app.
#[must_use]
pub fn split(wanted: &str) -> (Option<&str>, &str) {
    match wanted.split_once("::") {
        Some((app, name)) => (Some(app), name),
        None => (None, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use howdah_model::ids::{AppId, AttachmentId, DatabaseId};
    use jiff::Timestamp;

    fn attachment(name: &str, addon: &str, database: DatabaseId) -> Attachment {
        Attachment {
            id: AttachmentId::new(),
            name: name.parse().expect("a name"),
            namespace: None,
            app_id: AppId::new(),
            app_name: "demo".parse().expect("a name"),
            database_id: database,
            addon_name: addon.parse().expect("a name"),
            owner_app_id: AppId::new(),
            owner_app_name: "demo".parse().expect("a name"),
            plan: "standard-0".into(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a18_a_database_is_found_by_everything_that_people_call_it() {
        let (one, two) = (DatabaseId::new(), DatabaseId::new());
        let all = [
            attachment("DATABASE", "postgresql-curved-1", one),
            attachment("HEROKU_POSTGRESQL_GOLD", "postgresql-swift-2", two),
            attachment("ANALYTICS", "postgresql-swift-2", two),
        ];
        let found = |wanted: &str| -> Vec<String> {
            attachments(&all, wanted, "HEROKU_POSTGRESQL")
                .iter()
                .map(|one| one.name.to_string())
                .collect()
        };
        for wanted in ["DATABASE", "database_url", "postgresql-curved-1", &one.to_string()] {
            assert_eq!(found(wanted), ["DATABASE"], "{wanted}");
        }
        for wanted in ["gold", "GOLD_URL", "HEROKU_POSTGRESQL_GOLD", "heroku_postgresql_gold_url"] {
            assert_eq!(found(wanted), ["HEROKU_POSTGRESQL_GOLD"], "{wanted}");
        }
        assert_eq!(found("postgresql-swift-2"), ["HEROKU_POSTGRESQL_GOLD", "ANALYTICS"]);
        assert_eq!(found(&all[2].id.to_string()), ["ANALYTICS"]);
        assert!(found("purple").is_empty() && found("").is_empty());
    }

    #[test]
    fn another_apps_database_is_written_with_two_colons() {
        assert_eq!(split("demo::GOLD"), (Some("demo"), "GOLD"));
        assert_eq!(split("GOLD"), (None, "GOLD"));
    }
}
