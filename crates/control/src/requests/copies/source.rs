//! Which database people mean as a source (G33).

use howdah_model::ids::AccountId;
use howdah_store::addons::{self, Addon};
use howdah_store::apps::App;
use howdah_store::{Connection, attachments, lineage};

use crate::Control;
use crate::requests::error::{Error, Noun, Result};
use crate::requests::{apps, resolve};

/// The one database that a text means: a colour, a config var, an add-on's name or id,
/// `app::COLOR`, or the whole URL of a database of the platform. One that the account may not see is
/// refused as one that is not there.
pub(super) async fn find(
    control: &Control,
    conn: &mut Connection,
    account: AccountId,
    app: &App,
    text: &str,
) -> Result<Addon> {
    if let Some(url) = DatabaseUrl::read(text) {
        let found = lineage::opened_by(conn, url.role, url.database).await?;
        let id = found.ok_or(Error::NotFound(Noun::Addon))?;
        return crate::requests::addons::find(conn, account, &id.to_string()).await;
    }
    let (other, name) = resolve::split(text);
    let of = match other {
        Some(other) => apps::find(conn, account, other).await?,
        None => app.clone(),
    };
    let attached = attachments::list_by_app(conn, of.id).await?;
    let all = addons::list_by_app(conn, account, of.id).await?;
    let prefix = &control.config().var_prefix;
    let mut found: Vec<_> =
        resolve::addons(&attached, &all, name, prefix).into_iter().cloned().collect();
    if found.is_empty() && other.is_none() {
        return crate::requests::addons::find(conn, account, name).await;
    }
    match (found.pop(), found.as_slice()) {
        (Some(one), []) => Ok(one),
        (None, _) => Err(Error::NotFound(Noun::Addon)),
        (Some(last), others) => {
            let names: Vec<_> =
                others.iter().chain([&last]).map(|addon| addon.name.as_str()).collect();
            Err(Error::invalid(format!("{text} may be any of {}. Say which.", names.join(", "))))
        }
    }
}

/// What of a URL tells the database.
#[derive(Debug, PartialEq, Eq)]
struct DatabaseUrl<'a> {
    role: &'a str,
    database: &'a str,
}

impl<'a> DatabaseUrl<'a> {
    /// None when it is no URL of a database.
    fn read(text: &'a str) -> Option<Self> {
        let rest =
            text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let role = login.split(':').next().unwrap_or_default();
        let database = place.split_once('/').map_or("", |(_, database)| database);
        let database = database.split(['?', '#']).next().unwrap_or_default();
        Some(Self { role, database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g33_a_url_tells_role_and_database_and_nothing_else_is_one() {
        let read = |text| DatabaseUrl::read(text).map(|url| (url.role, url.database));
        let url = "postgres://u1:p%40ss@host:5433/d1?sslmode=require";
        assert_eq!(read(url), Some(("u1", "d1")));
        assert_eq!(read("postgresql://u1@host/d1"), Some(("u1", "d1")));
        assert_eq!(read("postgres://"), Some(("", "")));
        assert_eq!(read("demo::GOLD"), None);
        assert_eq!(read("DATABASE_URL"), None);
    }
}
