//! What people ask for, as rows of the store. Names are numbered, so that a seed decides all.

use howdah_control::clock::Clock as _;
use howdah_control::{keyring::Keyring, scram};
use howdah_model::agent::{Incarnation, Wanted};
use howdah_model::backup::{Cause, Kind};
use howdah_model::ids::{AppId, CredentialId, DatabaseId, OperationId, ParticipantId, TransferId};
use howdah_model::name::AttachmentName;
use howdah_model::operation::promote::Arguments;
use howdah_model::operation::provision::{self, Copied, How};
use howdah_model::operation::{Operation, change_plan, rotate};
use howdah_model::permission::Permission;
use howdah_model::plan;
use howdah_model::protection::Until;
use howdah_model::secret::Secret;
use howdah_model::version::Major;
use howdah_store::attachments::{self, Pointing};
use howdah_store::credentials::{self, Credential};
use howdah_store::databases::{self, Origin};
use howdah_store::operations::{self, New, NotAdmitted};
use howdah_store::transfers::{self, Source};
use howdah_store::{Tx, lineage, participants};
use serde_json::json;

use crate::ground::Ground;

impl Ground {
    /// Asks for a database of a plan, number `number`. Answers it and the operation.
    pub(crate) async fn ask_for_database(
        &self,
        app: AppId,
        plan: &str,
        number: usize,
    ) -> (DatabaseId, OperationId) {
        let now = self.stage.now();
        let mut tx = self.store.begin().await.expect("begin");
        assert!(howdah_store::apps::lock(&mut tx, app).await.expect("lock the app"));
        let id = DatabaseId::new();
        let new = databases::New {
            id,
            addon_name: &format!("postgresql-number-{number:05}").parse().expect("a name"),
            app_id: app,
            plan: plan::find(plan).expect("a plan"),
            major: Major(15),
            name: &format!("d{number:05}").parse().expect("a name"),
            inherits: None,
        };
        databases::insert(&mut tx, &new, now).await.expect("insert a database");
        self.furnish_database(&mut tx, app, id, number).await;
        let operation = self.operation(Operation::Provision, id, app, json!({}));
        operations::insert(&mut tx, &operation, now).await.expect("begin to provision");
        tx.commit().await.expect("commit");
        (id, operation.id)
    }

    /// Gives a new database its credential and its attachment.
    async fn furnish_database(&self, tx: &mut Tx, app: AppId, id: DatabaseId, number: usize) {
        let now = self.stage.now();
        let credential = CredentialId::new();
        let credential = Credential {
            id: credential,
            database_id: id,
            name: credentials::DEFAULT.to_owned(),
            role: format!("u{number:05}").parse().expect("a name"),
            password: Keyring::new(&[7; 32]).seal("credentials.password", credential, b"x"),
            verifier: verifier(),
            permission: Permission::None,
            created_at: now,
            revoked_at: None,
        };
        credentials::insert(tx, &credential).await.expect("insert a credential");
        let all = attachments::list_by_app(tx, app).await.expect("list attachments");
        let primary = all.iter().any(|one| one.name.as_str() == "DATABASE");
        let name = if primary { format!("NUMBER_{number}") } else { "DATABASE".to_owned() };
        let to = Pointing { database: id, namespace: None };
        let name: AttachmentName = name.parse().expect("a name");
        attachments::insert(tx, app, &name, to, now).await.expect("attach");
    }

    /// Asks for a database with another's data, number `number`. None when that has none to give.
    pub(crate) async fn ask_for_copy(
        &self,
        app: AppId,
        how: How,
        source: DatabaseId,
        number: usize,
    ) -> Option<(DatabaseId, OperationId)> {
        let now = self.stage.now();
        let mut tx = self.store.begin().await.expect("begin");
        assert!(howdah_store::apps::lock(&mut tx, app).await.expect("lock the app"));
        let source = databases::lock(&mut tx, source).await.expect("lock the source");
        let running = operations::unfinished(&mut tx, source.id).await.expect("list");
        let busy = |kind| running.iter().any(|one| one.kind == kind);
        if source.wanted == Wanted::Absent
            || source.plan.shares_participant()
            || source.follows.is_some()
            || busy(Operation::Destroy)
            || busy(Operation::Provision)
        {
            return None;
        }
        let there = participants::get(&mut tx, source.participant_id?).await.expect("get")?;
        let (id, name) = (DatabaseId::new(), format!("d{number:05}").parse().expect("a name"));
        let origin = Origin { how, id: source.id, name: "DATABASE".to_owned() };
        let follows = how == How::Follow;
        let new = databases::New {
            id,
            addon_name: &format!("postgresql-number-{number:05}").parse().expect("a name"),
            app_id: app,
            plan: source.plan,
            major: source.major,
            name: if follows { &source.name } else { &name },
            inherits: Some(databases::Inherits {
                origin: &origin,
                adopts: (!follows).then_some(&source.name),
                known_as: follows.then_some(&name),
                incarnation: if follows { source.incarnation } else { Incarnation(1) },
            }),
        };
        databases::insert(&mut tx, &new, now).await.expect("insert a database");
        self.furnish_database(&mut tx, app, id, number).await;
        let until = Until::Now { asked_at: now };
        let copied = Copied { how, source: source.id, timeline: there.timeline_id, until };
        let arguments = provision::Arguments { copy: Some(copied) };
        let arguments = serde_json::to_value(arguments).expect("arguments");
        let operation = self.operation(Operation::Provision, id, app, arguments);
        operations::insert(&mut tx, &operation, now).await.expect("begin to provision");
        tx.commit().await.expect("commit");
        Some((id, operation.id))
    }

    /// Whether people are let do it: the requests refuse what followers cannot, and to take a
    /// leader from its followers.
    async fn is_allowed(&self, tx: &mut Tx, kind: Operation, database: DatabaseId) -> bool {
        let row = databases::lock(tx, database).await.expect("lock the database");
        match kind {
            Operation::Unfollow => row.follows.is_some(),
            Operation::Reset | Operation::Promote | Operation::Capture | Operation::Restore => {
                row.follows.is_none()
            }
            Operation::ChangePlan => row.follows.is_none() && !row.plan.shares_participant(),
            Operation::Destroy => {
                lineage::followers(tx, database).await.expect("list followers").is_empty()
            }
            Operation::Provision | Operation::Rotate => true,
        }
    }

    /// Asks for an operation. None when the conflict matrix refuses it.
    pub(crate) async fn ask(
        &self,
        kind: Operation,
        database: DatabaseId,
        app: AppId,
    ) -> Option<OperationId> {
        let arguments = match kind {
            Operation::Promote => serde_json::to_value(Arguments {
                attachment: "DATABASE".parse().expect("a name"),
                namespace: None,
            })
            .expect("arguments"),
            Operation::ChangePlan => serde_json::to_value(change_plan::Arguments {
                plan: "standard-4".to_owned(),
                next: ParticipantId::new(),
            })
            .expect("arguments"),
            Operation::Provision
            | Operation::Reset
            | Operation::Unfollow
            | Operation::Capture
            | Operation::Restore
            | Operation::Rotate
            | Operation::Destroy => json!({}),
        };
        let now = self.stage.now();
        let mut tx = self.store.begin().await.expect("begin");
        let arguments = match kind {
            Operation::Rotate => self.all_credentials(&mut tx, database).await,
            _ => arguments,
        };
        let new = self.operation(kind, database, app, arguments);
        if let Operation::Capture | Operation::Restore = kind {
            howdah_store::apps::lock(&mut tx, app).await.expect("lock the app");
        }
        if !self.is_allowed(&mut tx, kind, database).await {
            return None;
        }
        match operations::insert(&mut tx, &new, now).await {
            Ok(()) => {}
            Err(NotAdmitted::Refused { .. }) => return None,
            Err(NotAdmitted::Store(error)) => panic!("begin an operation: {error}"),
        }
        if let Operation::Capture | Operation::Restore = kind {
            self.insert_transfer(&mut tx, &new).await;
        }
        tx.commit().await.expect("commit");
        Some(new.id)
    }

    /// What belongs to a capture, or to a restore of something from the web.
    async fn insert_transfer(&self, tx: &mut Tx, asked: &New) {
        let captures = asked.kind == Operation::Capture;
        let url = Keyring::new(&[7; 32]).seal("transfers.source_url", asked.id, b"https://a/b");
        let new = transfers::New {
            id: TransferId(asked.id.0),
            app_id: asked.app_id,
            database_id: asked.database_id,
            kind: if captures { Kind::Backup } else { Kind::Restore },
            cause: Cause::Manual,
            from_name: "A".to_owned(),
            to_name: "B".to_owned(),
            source: if captures { Source::Database(None) } else { Source::Web(url) },
            extensions: Vec::new(),
            schedule_id: None,
            expires: false,
        };
        transfers::insert(tx, &new, self.stage.now()).await.expect("insert a transfer");
    }

    /// The arguments of a rotation of all credentials, with or without force.
    async fn all_credentials(&self, tx: &mut Tx, database: DatabaseId) -> serde_json::Value {
        let all = credentials::list(tx, database).await.expect("list credentials");
        let forced = self.chance.per_mille(500);
        let arguments = rotate::Arguments {
            credentials: all.into_iter().map(|one| one.id).collect(),
            former: if forced { rotate::Former::Revoked } else { rotate::Former::Kept },
        };
        serde_json::to_value(arguments).expect("arguments")
    }

    /// Changes one's mind about an operation.
    pub(crate) async fn cancel(&self, operation: OperationId) {
        let now = self.stage.now();
        let mut tx = self.store.begin().await.expect("begin");
        operations::cancel(&mut tx, operation, now).await.expect("cancel");
        tx.commit().await.expect("commit");
    }

    fn operation(
        &self,
        kind: Operation,
        database_id: DatabaseId,
        app_id: AppId,
        arguments: serde_json::Value,
    ) -> New {
        New {
            id: OperationId::new(),
            kind,
            database_id,
            app_id,
            account_id: Some(self.account),
            arguments,
        }
    }
}

/// One for all: to make one takes time.
fn verifier() -> howdah_model::scram::Verifier {
    static ONE: std::sync::OnceLock<howdah_model::scram::Verifier> = std::sync::OnceLock::new();
    ONE.get_or_init(|| scram::verifier(&Secret::new("x".to_owned()))).clone()
}
