//! Telling people that a database has more rows than its plan, in the log of its app (C28).

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use howdah_model::agent::DatabaseObservation;
use howdah_model::compliance::Compliance;
use howdah_model::ids::ParticipantId;
use howdah_model::name::DatabaseName;
use howdah_store::databases;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::logs::Source;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(5);
/// The process that the lines are of.
const PROCESS: &str = "heroku-postgres";

/// What people were told of each database. Of one that they were not told of they are told again
/// after a restart.
#[derive(Debug, Default)]
struct Told(HashMap<(ParticipantId, DatabaseName), Compliance>);

/// Looks until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    let mut told = Told::default();
    while !cancelled.is_cancelled() {
        if let Err(error) = told.tell(&control).await {
            tracing::warn!(error = format!("{error:#}"), "tell who has too many rows");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Told {
    async fn tell(&mut self, control: &Control) -> Result<()> {
        let news = self.news(control);
        if news.is_empty() {
            return Ok(());
        }
        let all = databases::list_live(&mut *control.reader().get().await?).await?;
        for placed in &all {
            let database = &placed.database;
            let Some(participant) = database.participant_id else { continue };
            let key = (participant, database.name.clone());
            let (Some(seen), Some(limit)) = (news.get(&key), database.plan.rows) else { continue };
            let Some(compliance) = seen.compliance else { continue };
            let rows = seen.look.as_ref().map_or(0, |look| look.row_count);
            let text = said(database.addon_name.as_str(), rows, limit, compliance);
            control.logs().tell(database.app_id, Source::App, PROCESS, &text);
            self.0.insert(key, compliance);
        }
        Ok(())
    }

    /// The databases of which people have to be told something.
    fn news(
        &self,
        control: &Control,
    ) -> HashMap<(ParticipantId, DatabaseName), DatabaseObservation> {
        let mut news = HashMap::new();
        for (_, sighting) in control.sightings().all_fresh(control.now()) {
            for one in sighting.participants.values() {
                for (name, seen) in &one.databases {
                    let key = (one.id, name.clone());
                    let before = self.0.get(&key).copied().unwrap_or_default();
                    if seen.compliance.is_some_and(|now| now != before) {
                        news.insert(key, seen.clone());
                    }
                }
            }
        }
        news
    }
}

fn said(name: &str, rows: i64, limit: u64, compliance: Compliance) -> String {
    match compliance {
        Compliance::Within => {
            format!("{name} has {rows} rows and may have {limit}: INSERT works")
        }
        Compliance::Over { until, .. } => format!(
            "{name} has {rows} rows and may have {limit}: INSERT will be refused after {}. Delete \
             rows, or move to a larger plan with addons:create, pg:copy and pg:promote.",
            until.strftime("%Y-%m-%d %H:%M UTC")
        ),
        Compliance::Refused { .. } => format!(
            "{name} has {rows} rows and may have {limit}: INSERT is refused. Delete rows, or move \
             to a larger plan with addons:create, pg:copy and pg:promote."
        ),
    }
}
