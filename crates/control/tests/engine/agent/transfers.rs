//! Logical copies on the server of an agent in memory. What is complete outlives the agent.

use std::collections::{BTreeMap, BTreeSet};

use howdah_model::agent::Wanted;
use howdah_model::ids::{ParticipantId, TransferId};
use howdah_model::transfer::{From, Into, Made, TransferObservation, TransferSpec, TransferState};

#[derive(Debug)]
struct Told {
    spec: TransferSpec,
    state: TransferState,
    processed: u64,
}

/// All copies, and what they made.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    told: BTreeMap<TransferId, Told>,
    /// Dumps in the archive.
    pub(crate) dumps: BTreeSet<TransferId>,
    /// Databases that were filled and are complete.
    pub(crate) filled: BTreeSet<TransferId>,
    /// How often one was begun.
    pub(crate) begun: BTreeMap<TransferId, usize>,
}

impl Transfers {
    pub(super) fn take(&mut self, spec: &TransferSpec) {
        let id = spec.id;
        let made = self.dumps.contains(&id) || self.filled.contains(&id);
        let known = self.told.get(&id).map(|told| told.state);
        let state = match (spec.wanted, known) {
            (Wanted::Absent, Some(TransferState::Done)) if spec.into == Into::Archive => return,
            (Wanted::Absent, _) => {
                self.filled.remove(&id);
                TransferState::Absent
            }
            (Wanted::Present, Some(_)) => return,
            (Wanted::Present, None) if made => TransferState::Done,
            (Wanted::Present, None) => {
                *self.begun.entry(id).or_default() += 1;
                TransferState::Waiting
            }
        };
        self.told.insert(id, Told { spec: spec.clone(), state, processed: 0 });
    }

    /// What it was told of one.
    pub(crate) fn spec(&self, id: TransferId) -> TransferSpec {
        self.told.get(&id).expect("it was told").spec.clone()
    }

    /// An order to begin arrives.
    pub(crate) fn arrive(&mut self, spec: TransferSpec) {
        self.take(&TransferSpec { wanted: Wanted::Present, ..spec });
    }

    /// Those that have something to do.
    pub(super) fn busy(&self) -> Vec<TransferId> {
        let busy =
            |told: &Told| matches!(told.state, TransferState::Waiting | TransferState::Running);
        self.told.iter().filter(|(_, told)| busy(told)).map(|(id, _)| *id).collect()
    }

    pub(super) fn work(&mut self, id: TransferId, answers: impl Fn(&ParticipantId) -> bool) {
        let Some(told) = self.told.get_mut(&id) else { return };
        let from = match &told.spec.from {
            From::Database { participant, .. } => answers(participant),
            From::Dump { transfer } => self.dumps.contains(transfer),
            From::Web { .. } | From::Foreign { .. } => true,
        };
        let into = match &told.spec.into {
            Into::Database { participant, .. } => answers(participant),
            Into::Archive => true,
        };
        told.processed += 1;
        told.state = match told.state {
            _ if !from || !into => TransferState::Failed,
            TransferState::Waiting => TransferState::Running,
            _ if told.processed < 3 => TransferState::Running,
            _ => TransferState::Done,
        };
        if told.state == TransferState::Done {
            match told.spec.into {
                Into::Archive => self.dumps.insert(id),
                Into::Database { .. } => self.filled.insert(id),
            };
        }
    }

    /// The agent began anew.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }

    pub(super) fn observations(&self) -> Vec<TransferObservation> {
        let shown = |(id, told): (&TransferId, &Told)| TransferObservation {
            id: *id,
            state: told.state,
            step: "copying".to_owned(),
            processed: told.processed,
            total: None,
            error: (told.state == TransferState::Failed).then(|| "no server".to_owned()),
            made: (told.state == TransferState::Done).then_some(Made {
                source_bytes: 20,
                dump_bytes: 10,
                tables: 1,
                warnings: 0,
                major: None,
            }),
            log: Vec::new(),
        };
        self.told.iter().map(shown).collect()
    }
}
