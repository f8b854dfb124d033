//! What the supervisor of a participant sees.

use howdah_model::agent::{InstanceState, ParticipantObservation, Run, Wanted};
use howdah_model::participant::{Disruption, Instance, Seen, Spec, State};
use howdah_store::participants::Participant as Row;
use jiff::Timestamp;

use crate::servers::sightings::Sighting;

pub(super) fn seen(row: &Row, last: Option<&Sighting>, state: State, now: Timestamp) -> Seen {
    let announced = row.expected_disruption_until.is_some_and(|until| now < until);
    let expected = announced || row.run == Run::Stopped;
    Seen {
        wanted: row.wanted,
        instance: instance(row, last.filter(|last| last.is_fresh(now))),
        spec: spec(row, last, state),
        disruption: if expected { Disruption::Expected } else { Disruption::Unexpected },
    }
}

fn instance(row: &Row, fresh: Option<&Sighting>) -> Instance {
    let Some(sighting) = fresh else {
        return Instance::Unknown;
    };
    let Some(seen) = sighting.participants.get(&row.id) else {
        return absent(row, sighting);
    };
    match seen.instance {
        InstanceState::Making | InstanceState::Starting => Instance::Starting,
        InstanceState::Answering => Instance::Answering,
        InstanceState::Silent => Instance::Silent,
        InstanceState::Down | InstanceState::Removing => Instance::Down,
    }
}

/// The agent does not have it. When it is to go, that counts only in an observation from after the
/// agent took the order to remove it: one from before may miss what was made since then, and an
/// order to make it may still be on its way.
fn absent(row: &Row, sighting: &Sighting) -> Instance {
    let told = row.told_revision.is_some_and(|told| told >= row.revision)
        && row.told_change.is_some_and(|change| sighting.server.change >= change);
    match row.wanted {
        Wanted::Absent if !told => Instance::Unknown,
        Wanted::Absent | Wanted::Present => Instance::Absent,
    }
}

/// An agent keeps its specs on disk: what it was seen to have, it still has.
fn spec(row: &Row, last: Option<&Sighting>, state: State) -> Spec {
    let Some(seen) = last.and_then(|last| last.participants.get(&row.id)) else {
        return spec_of_absent(row, state);
    };
    let newest = (row.epoch, row.revision);
    let applied = |seen: &ParticipantObservation| {
        seen.epoch == row.epoch && seen.applied.is_some_and(|applied| applied >= row.revision)
    };
    match (seen.epoch, seen.revision) {
        // One that is ahead of the store was told by a store that was lost: the push finds out.
        has if has != newest => Spec::Stale,
        _ if applied(seen) => Spec::Applied,
        _ => Spec::Converging,
    }
}

fn spec_of_absent(row: &Row, state: State) -> Spec {
    let told = row.told_revision.is_some_and(|told| told >= row.revision);
    let begun = !matches!(state, State::Requested | State::Creating);
    match row.wanted {
        Wanted::Absent if told => Spec::Converging,
        // It was there, with data in it. An agent that lost it would make an empty one from the
        // spec and nobody would notice: a person must look.
        Wanted::Present if begun && row.socket_dir.is_some() => Spec::Converging,
        Wanted::Absent | Wanted::Present => Spec::Stale,
    }
}
