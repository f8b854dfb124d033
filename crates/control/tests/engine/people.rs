//! What people ask for, as rows of the store. Names are numbered, so that a seed decides all.

use howdah_control::clock::Clock as _;
use howdah_control::{keyring::Keyring, scram};
use howdah_model::ids::{AppId, CredentialId, DatabaseId, OperationId};
use howdah_model::name::AttachmentName;
use howdah_model::operation::Operation;
use howdah_model::operation::promote::Arguments;
use howdah_model::plan;
use howdah_model::secret::Secret;
use howdah_model::version::Major;
use howdah_store::attachments::{self, Pointing};
use howdah_store::credentials::{self, Credential};
use howdah_store::databases;
use howdah_store::operations::{self, New, NotAdmitted};
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
        let credential = CredentialId::new();
        let credential = Credential {
            id: credential,
            database_id: id,
            name: credentials::DEFAULT.to_owned(),
            role: format!("u{number:05}").parse().expect("a name"),
            password: Keyring::new(&[7; 32]).seal("credentials.password", credential, b"x"),
            verifier: verifier(),
            created_at: now,
            revoked_at: None,
        };
        credentials::insert(&mut tx, &credential).await.expect("insert a credential");
        let all = attachments::list_by_app(&mut tx, app).await.expect("list attachments");
        let primary = all.iter().any(|one| one.name.as_str() == "DATABASE");
        let name = if primary { format!("NUMBER_{number}") } else { "DATABASE".to_owned() };
        let to = Pointing { database: id, namespace: None };
        let name: AttachmentName = name.parse().expect("a name");
        attachments::insert(&mut tx, app, &name, to, now).await.expect("attach");
        let operation = self.operation(Operation::Provision, id, app, json!({}));
        operations::insert(&mut tx, &operation, now).await.expect("begin to provision");
        tx.commit().await.expect("commit");
        (id, operation.id)
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
            Operation::Provision | Operation::Reset | Operation::Unfollow | Operation::Destroy => {
                json!({})
            }
        };
        let now = self.stage.now();
        let new = self.operation(kind, database, app, arguments);
        let mut tx = self.store.begin().await.expect("begin");
        match operations::insert(&mut tx, &new, now).await {
            Ok(()) => {}
            Err(NotAdmitted::Refused { .. }) => return None,
            Err(NotAdmitted::Store(error)) => panic!("begin an operation: {error}"),
        }
        tx.commit().await.expect("commit");
        Some(new.id)
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
