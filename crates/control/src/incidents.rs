//! Opens and closes incidents by what agents say of the protection of their participants (M11, M13).

use std::time::Duration;

use anyhow::Result;
use howdah_model::agent::ParticipantObservation;
use howdah_model::ids::{IncidentId, ParticipantId, ServerId};
use howdah_model::incident::Kind;
use howdah_model::protection::{DiskStage, Drilled};
use howdah_model::size::Bytes;
use howdah_store::incidents::{self, Incident};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::servers::sightings::Sighting;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(15);
/// How long WAL may be kept from the archive before it is an incident.
pub const TROUBLE: Duration = Duration::from_secs(300);
/// How long incidents are kept after they were over.
pub const KEPT: Duration = Duration::from_secs(365 * 86_400);

/// Looks until it is cancelled.
pub(crate) async fn run(control: Control, cancelled: CancellationToken) {
    while !cancelled.is_cancelled() {
        if let Err(error) = control.note_incidents().await {
            tracing::warn!(error = format!("{error:#}"), "look for incidents");
        }
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// What is wrong at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wrong {
    kind: Kind,
    participant: Option<ParticipantId>,
    server: ServerId,
    what: String,
    since: Timestamp,
}

impl Wrong {
    fn is(&self, incident: &Incident) -> bool {
        (self.kind, self.participant, self.server)
            == (incident.kind, incident.participant_id, incident.server_id)
    }
}

impl Control {
    /// Opens an incident for everything that is wrong and closes those whose cause is gone. What
    /// was seen of a server too long ago says nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn note_incidents(&self) -> Result<()> {
        let now = self.now();
        let fresh = self.sightings().all_fresh(now);
        let wrong: Vec<_> = fresh.iter().flat_map(|(_, seen)| of_server(seen, now)).collect();
        let open = incidents::list_open(&mut *self.reader().get().await?).await?;
        let known = |one: &Wrong| open.iter().any(|open| one.is(open) && open.what == one.what);
        let news: Vec<_> = wrong.iter().filter(|one| !known(one)).collect();
        let seen = |server: ServerId| fresh.iter().any(|(id, _)| *id == server);
        let over: Vec<_> = open
            .iter()
            .filter(|open| seen(open.server_id) && !wrong.iter().any(|one| one.is(open)))
            .collect();
        if news.is_empty() && over.is_empty() {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        for one in news {
            if incidents::open(&mut tx, &incident(one)).await? {
                tracing::warn!(kind = %one.kind, "incident: {}", one.what);
            }
        }
        for one in over {
            incidents::close(&mut tx, one.id, now).await?;
            tracing::info!(kind = %one.kind, "the incident is over: {}", one.what);
        }
        Ok(tx.commit().await?)
    }
}

fn incident(wrong: &Wrong) -> Incident {
    Incident {
        id: IncidentId::new(),
        kind: wrong.kind,
        participant_id: wrong.participant,
        server_id: wrong.server,
        what: wrong.what.clone(),
        began_at: wrong.since,
        ended_at: None,
    }
}

fn of_server(seen: &Sighting, now: Timestamp) -> Vec<Wrong> {
    let mut all: Vec<_> = of_disk(seen).into_iter().collect();
    let mut participants: Vec<_> = seen.participants.values().collect();
    participants.sort_by_key(|one| one.id);
    for one in participants {
        all.extend(of_archive(seen.server.server, one, now));
        all.extend(of_gap(seen.server.server, one));
        all.extend(of_drill(seen.server.server, one));
    }
    all
}

fn of_disk(seen: &Sighting) -> Option<Wrong> {
    let server = &seen.server;
    let does = match server.disk {
        DiskStage::Ample => return None,
        DiskStage::Warn => "it goes on",
        DiskStage::Throttle => "what writes most is slowed down and nothing new is made",
        DiskStage::ReadOnly => "databases can only be read",
    };
    Some(Wrong {
        kind: Kind::Disk,
        participant: None,
        server: server.server,
        what: format!(
            "the disk of the server, of {}, is nearly full: {does}",
            Bytes(server.disk_total)
        ),
        since: server.at,
    })
}

fn of_gap(server: ServerId, seen: &ParticipantObservation) -> Option<Wrong> {
    let gap = seen.protected.as_ref()?.gap.as_ref()?;
    Some(Wrong {
        kind: Kind::Gap,
        participant: Some(seen.id),
        server,
        what: gap.what.clone(),
        since: gap.since,
    })
}

fn of_archive(server: ServerId, seen: &ParticipantObservation, now: Timestamp) -> Option<Wrong> {
    let trouble = seen.protected.as_ref()?.trouble.as_ref()?;
    let lasts = Duration::try_from(now.duration_since(trouble.since)).unwrap_or_default();
    (lasts >= TROUBLE).then(|| Wrong {
        kind: Kind::Archive,
        participant: Some(seen.id),
        server,
        what: trouble.what.clone(),
        since: trouble.since,
    })
}

fn of_drill(server: ServerId, seen: &ParticipantObservation) -> Option<Wrong> {
    let drill = seen.protected.as_ref()?.drill.as_ref()?;
    let Drilled::Failed { why } = &drill.outcome else {
        return None;
    };
    Some(Wrong {
        kind: Kind::Drill,
        participant: Some(seen.id),
        server,
        what: format!("a restore drill failed: {why}"),
        since: drill.at,
    })
}
