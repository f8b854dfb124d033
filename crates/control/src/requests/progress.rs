//! How far a database is that is being made.

use howdah_model::ids::{AccountId, DatabaseId};
use howdah_model::protection::{Making, MakingStep};
use howdah_store::{Connection, databases, lineage, operations, transitions};

use super::error::Result;
use crate::Control;

/// How long it is told why a database could not be made.
const TOLD: std::time::Duration = std::time::Duration::from_secs(86_400);

/// How far the participant of a database is with another's data; none when it makes no copy now.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn making(
    control: &Control,
    conn: &mut Connection,
    id: DatabaseId,
) -> Result<Option<Making>> {
    let placed = databases::list_placed(conn, &[id.0]).await?.pop();
    Ok(placed.and_then(|placed| control.seen_of(&placed)?.1.making))
}

/// How far a copy is in all, in per cent: most of the time goes into the copying. Never 100, which
/// is when it is available.
#[must_use]
pub fn per_cent(making: &Making) -> u8 {
    // From where to where each step goes.
    let (from, to) = match making.step {
        MakingStep::Securing => (0_u64, 2_u64),
        MakingStep::Copying => (2, 80),
        MakingStep::Replaying => (80, 99),
    };
    let share = match making.total {
        0 => 0,
        total => (to - from) * making.done.min(total) / total,
    };
    u8::try_from(from + share).unwrap_or(99)
}

/// Why the newest database of a name or id could not be made, if that was within the last day. None
/// for whoever may not see its app.
///
/// # Errors
/// When the platform's database does not answer.
pub async fn why_not_made(
    control: &Control,
    conn: &mut Connection,
    account: AccountId,
    name_or_id: &str,
) -> Result<Option<String>> {
    let since = control.now().checked_sub(TOLD).map_err(anyhow::Error::from)?;
    let Some((name, operation)) = lineage::not_made(conn, account, name_or_id, since).await? else {
        return Ok(None);
    };
    let history = transitions::list(conn, &[operation.0]).await?;
    let turned = history.iter().rfind(|one| one.to == "undoing");
    let error = operations::get(conn, operation).await?.and_then(|asked| asked.last_error);
    let why = turned.map(|one| one.reason.clone()).or(error).unwrap_or_default();
    Ok(Some(format!("{name} could not be made: {why}. Nothing is left of it.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g9_percentages_grow_with_the_steps_and_never_reach_the_end() {
        let at = |step, done, total| per_cent(&Making { step, done, total, note: None });
        let way = [
            at(MakingStep::Securing, 0, 0),
            at(MakingStep::Securing, 5, 5),
            at(MakingStep::Copying, 0, 100),
            at(MakingStep::Copying, 50, 100),
            at(MakingStep::Copying, 200, 100),
            at(MakingStep::Replaying, 0, 0),
            at(MakingStep::Replaying, 9, 10),
            at(MakingStep::Replaying, 10, 10),
        ];
        assert!(way.is_sorted(), "{way:?}");
        assert_eq!((way[3], way[7]), (41, 99));
    }
}
