//! What a database has to do with others: whom it follows, who follows it, what it was made from.

use howdah_model::ids::AppId;
use howdah_model::name::{AddonName, PRIMARY};
use howdah_model::operation::provision::How;
use howdah_store::addons::Addon;
use howdah_store::databases::{self, Database, Placed};
use howdah_store::{Connection, attachments, credentials, lineage};

use super::error::Result;
use crate::Control;

/// Another database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its add-on's name.
    pub addon: AddonName,
    /// How `pg:info` calls it: by its config var on the app without `_URL`, else by its place (D5).
    pub shown: String,
    /// Its URL without the password: who sees one database may not open the other.
    pub url: String,
}

/// What a database has to do with others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The one that it follows.
    pub following: Option<Other>,
    /// How many transactions it is behind that one, when both were seen. Numbers that were given to
    /// transactions count, committed or not (G19).
    pub behind: Option<u64>,
    /// Those that follow it.
    pub followers: Vec<Other>,
    /// The one that it was made from.
    pub forked_from: Option<Other>,
    /// Those that were made from it.
    pub forks: Vec<Other>,
}

/// What a database has to do with others, as its own app knows them.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn of(control: &Control, conn: &mut Connection, addon: &Addon) -> Result<Lineage> {
    let Some(own) = databases::list_placed(conn, &[addon.id.0]).await?.pop() else {
        return Ok(Lineage::default());
    };
    let mut found = Lineage::default();
    for one in lineage::followers(conn, addon.id).await? {
        found.followers.push(other(control, conn, addon.app_id, &one.database).await?);
    }
    for one in lineage::copies(conn, addon.id).await? {
        found.forks.push(other(control, conn, addon.app_id, &one).await?);
    }
    if let Some(id) = own.database.follows {
        let leader = databases::list_placed(conn, &[id.0]).await?.pop();
        if let Some(leader) = leader {
            found.behind = behind(control, &leader, &own);
            found.following = Some(other(control, conn, addon.app_id, &leader.database).await?);
        }
    } else if let Some(origin) = own.database.origin.filter(|origin| origin.how != How::Undelete)
        && let Some(source) = databases::get(conn, origin.id).await?
    {
        found.forked_from = Some(other(control, conn, addon.app_id, &source).await?);
    }
    Ok(found)
}

fn behind(control: &Control, leader: &Placed, follower: &Placed) -> Option<u64> {
    let position = |placed: &Placed| control.seen_of(placed)?.1.position;
    Some(position(leader)?.next_xid.saturating_sub(position(follower)?.next_xid))
}

async fn other(
    control: &Control,
    conn: &mut Connection,
    app: AppId,
    database: &Database,
) -> Result<Other> {
    let attached = attachments::list_by_database(conn, database.id).await?;
    let mut names: Vec<_> = attached
        .iter()
        .filter(|one| one.app_id == app && one.namespace.is_none())
        .map(|one| one.name.as_str())
        .collect();
    // The colour says more than that it is the primary.
    names.sort_by_key(|name| *name == PRIMARY);
    let config = control.config();
    let name = database.known_as.as_ref().unwrap_or(&database.name);
    let place = format!("{}:{}/{name}", config.gateway_host, config.gateway_port);
    let shown =
        names.first().map_or_else(|| format!("Database on {place}"), |name| (*name).to_owned());
    let role = credentials::find(conn, database.id, credentials::DEFAULT).await?;
    let role = role.map_or_else(String::new, |one| format!("{}@", one.role));
    let url = format!("postgres://{role}{place}");
    Ok(Other { addon: database.addon_name.clone(), shown, url })
}
