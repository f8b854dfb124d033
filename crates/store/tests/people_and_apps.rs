//! The statements about accounts, apps, config and releases, on a real PostgreSQL.

use howdah_model::ids::{
    AccountId, AppId, AttachmentId, DatabaseId, OperationId, ReleaseId, ServerId, TransferId,
};
use howdah_model::operation::Operation;
use howdah_model::permission::Permission;
use howdah_model::plan;
use howdah_model::version::Major;
use howdah_store::accounts::{self, Account};
use howdah_store::answered_requests::{self, Key};
use howdah_store::attachments::{self, Pointing};
use howdah_store::credentials::{self, Credential};
use howdah_store::operations::{self, New};
use howdah_store::releases::{self, NewRelease};
use howdah_store::servers::{self, Server};
use howdah_store::ssh_keys::{self, SshKey};
use howdah_store::tokens::{self, Token};
use howdah_store::{Sealed, Store, addons, apps, collaborators, config_vars, databases, uploads};
use howdah_testkit::scratch::Scratch;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

struct Ground {
    store: Store,
    _scratch: Scratch,
}

async fn ground() -> Ground {
    let scratch = Scratch::start().await;
    let store = Store::connect(&scratch.url(), 5).await.expect("connect");
    store.migrate().await.expect("migrate");
    Ground { store, _scratch: scratch }
}

impl Ground {
    async fn account(&self, email: &str) -> AccountId {
        let account =
            Account { id: AccountId::new(), email: email.into(), name: None, created_at: NOW };
        let mut tx = self.store.begin().await.expect("begin");
        accounts::insert(&mut tx, &account, Some("hash")).await.expect("insert an account");
        tx.commit().await.expect("commit");
        account.id
    }

    async fn app(&self, name: &str, owner: AccountId) -> AppId {
        let id = AppId::new();
        let mut tx = self.store.begin().await.expect("begin");
        let name = name.parse().expect("a name");
        apps::insert(&mut tx, id, &name, owner, "us", NOW).await.expect("insert an app");
        tx.commit().await.expect("commit");
        id
    }

    async fn release(&self, app: AppId, what: &str, by: Option<AccountId>) -> i32 {
        let mut tx = self.store.begin().await.expect("begin");
        assert!(apps::lock(&mut tx, app).await.expect("lock"));
        let version = releases::insert(&mut tx, &new_release(app, what, by)).await;
        tx.commit().await.expect("commit");
        version.expect("insert a release")
    }

    /// A database with its credential and its attachment, and the operation that makes it.
    async fn database(
        &self,
        app: AppId,
        addon: &str,
        attachment: &str,
    ) -> (DatabaseId, OperationId) {
        let (id, operation) = (DatabaseId::new(), OperationId::new());
        let short = &id.0.simple().to_string()[20..];
        let new = databases::New {
            id,
            addon_name: &addon.parse().expect("a name"),
            app_id: app,
            plan: plan::find("standard-0").expect("a plan"),
            major: Major(18),
            name: &format!("d{short}").parse().expect("a name"),
            inherits: None,
        };
        let credential = Credential {
            id: Uuid::now_v7().into(),
            database_id: id,
            name: credentials::DEFAULT.into(),
            role: format!("u{short}").parse().expect("a name"),
            password: Sealed(vec![1]),
            verifier: "SCRAM-SHA-256$4096:YQ==$YQ==:YQ==".parse().expect("a verifier"),
            permission: Permission::None,
            created_at: NOW,
            revoked_at: None,
        };
        let asked = New {
            id: operation,
            kind: Operation::Provision,
            database_id: id,
            app_id: app,
            account_id: None,
            arguments: serde_json::json!({}),
        };
        let mut tx = self.store.begin().await.expect("begin");
        databases::insert(&mut tx, &new, NOW).await.expect("insert a database");
        credentials::insert(&mut tx, &credential).await.expect("insert a credential");
        let name = attachment.parse().expect("a name");
        let to = Pointing { database: id, namespace: None };
        attachments::insert(&mut tx, app, &name, to, NOW).await.expect("insert an attachment");
        operations::insert(&mut tx, &asked, NOW).await.expect("insert an operation");
        tx.commit().await.expect("commit");
        (id, operation)
    }
}

const CONFIG: &Sealed = &Sealed(Vec::new());

fn new_release(app: AppId, description: &str, account: Option<AccountId>) -> NewRelease<'_> {
    let id = ReleaseId::new();
    NewRelease { id, app, description, account, operation: None, config: CONFIG, now: NOW }
}

#[tokio::test]
async fn an_account_is_found_in_any_case_and_made_once() {
    let ground = ground().await;
    let mut conn = ground.store.reader().get().await.expect("connect");
    assert!(!accounts::any(&mut conn).await.expect("ask"));
    let id = ground.account("Dev@example.com").await;
    assert!(accounts::any(&mut conn).await.expect("ask"));
    let found = accounts::find_by_email(&mut conn, "dev@EXAMPLE.com").await.expect("ask");
    assert_eq!(found.map(|account| account.id), Some(id));
    let hash = accounts::password_hash(&mut conn, id).await.expect("ask");
    assert_eq!(hash.as_deref(), Some("hash"));
    let same = Account {
        id: AccountId::new(),
        email: "dev@example.COM".into(),
        name: None,
        created_at: NOW,
    };
    let mut tx = ground.store.begin().await.expect("begin");
    let refused = accounts::insert(&mut tx, &same, None).await.expect_err("taken");
    assert!(refused.is_conflict("accounts_email_key"), "{refused:?}");
}

#[tokio::test]
async fn tokens_and_keys_are_their_accounts_own_and_tokens_expire() {
    let ground = ground().await;
    let (mine, other) = (ground.account("a@x.y").await, ground.account("b@x.y").await);
    let hour = SignedDuration::from_hours(1);
    let token = Token::new(mine, "CLI".into(), NOW, Some(NOW + hour));
    let key = SshKey {
        id: Uuid::now_v7(),
        account_id: mine,
        fingerprint: "SHA256:abc".into(),
        public_key: "ssh-ed25519 AAAA me@here".into(),
        comment: "me@here".into(),
        created_at: NOW,
    };
    let mut tx = ground.store.begin().await.expect("begin");
    tokens::insert(&mut tx, &token, b"hash").await.expect("insert a token");
    ssh_keys::insert(&mut tx, &key).await.expect("insert a key");
    let bearer = tokens::bearer(&mut tx, b"hash", NOW).await.expect("ask").expect("known");
    assert_eq!((bearer.account.id, bearer.token_id), (mine, token.id));
    assert!(tokens::bearer(&mut tx, b"hash", NOW + hour).await.expect("ask").is_none());
    assert!(tokens::bearer(&mut tx, b"other", NOW).await.expect("ask").is_none());
    assert_eq!(tokens::list(&mut tx, mine).await.expect("ask"), std::slice::from_ref(&token));
    assert_eq!(ssh_keys::list(&mut tx, mine).await.expect("ask"), std::slice::from_ref(&key));
    assert!(tokens::delete(&mut tx, other, token.id).await.expect("ask").is_none());
    assert!(ssh_keys::delete(&mut tx, other, "me@here").await.expect("ask").is_none());
    assert_eq!(tokens::delete(&mut tx, mine, token.id).await.expect("ask"), Some(token));
    assert_eq!(
        ssh_keys::delete(&mut tx, mine, "SHA256:abc").await.expect("ask"),
        Some(key.clone())
    );
    ssh_keys::insert(&mut tx, &key).await.expect("insert it again");
    let refused = ssh_keys::insert(&mut tx, &SshKey { id: Uuid::now_v7(), ..key }).await;
    assert!(refused.expect_err("twice").is_conflict("ssh_keys_fingerprint_key"));
}

#[tokio::test]
async fn a24_b3_an_app_is_seen_by_its_owner_and_collaborators_and_its_name_is_unique() {
    let ground = ground().await;
    let (mine, other) = (ground.account("a@x.y").await, ground.account("b@x.y").await);
    let app = ground.app("demo", mine).await;
    let mut tx = ground.store.begin().await.expect("begin");
    let found = apps::find_visible(&mut tx, mine, "demo").await.expect("ask").expect("seen");
    assert_eq!((found.id, found.owner_email.as_str()), (app, "a@x.y"));
    let by_id = apps::find_visible(&mut tx, mine, &app.to_string()).await.expect("ask");
    assert_eq!(by_id, Some(found));
    assert!(apps::find_visible(&mut tx, other, "demo").await.expect("ask").is_none());
    assert!(collaborators::insert(&mut tx, app, other, NOW).await.expect("insert"));
    assert!(!collaborators::insert(&mut tx, app, other, NOW).await.expect("insert"));
    assert!(apps::find_visible(&mut tx, other, "demo").await.expect("ask").is_some());
    assert_eq!(apps::list_visible(&mut tx, other).await.expect("ask").len(), 1);
    let all = collaborators::list(&mut tx, app).await.expect("ask");
    let all: Vec<_> = all.iter().map(|one| (one.email.as_str(), one.owner)).collect();
    assert_eq!(all, [("a@x.y", true), ("b@x.y", false)]);
    assert!(collaborators::delete(&mut tx, app, other).await.expect("delete"));
    assert!(!collaborators::delete(&mut tx, app, other).await.expect("delete"));
    apps::set_maintenance(&mut tx, app, true, NOW).await.expect("update");
    apps::rename(&mut tx, app, &"shop".parse().expect("a name"), NOW).await.expect("rename");
    let shop = apps::find_visible(&mut tx, mine, "shop").await.expect("ask").expect("seen");
    assert!(shop.maintenance);
    tx.commit().await.expect("commit");
    let mut tx = ground.store.begin().await.expect("begin");
    let name = "shop".parse().expect("a name");
    let taken = apps::insert(&mut tx, AppId::new(), &name, other, "us", NOW).await;
    assert!(taken.expect_err("taken").is_conflict("apps_name_key"));
    drop(tx);
    let mut tx = ground.store.begin().await.expect("begin");
    apps::destroy(&mut tx, app, NOW).await.expect("destroy");
    assert!(!apps::lock(&mut tx, app).await.expect("ask"));
    assert!(apps::find_visible(&mut tx, mine, "shop").await.expect("ask").is_none());
    apps::insert(&mut tx, AppId::new(), &name, other, "us", NOW).await.expect("the name is free");
}

#[tokio::test]
async fn b9_releases_are_numbered_one_by_one_and_remember_config_and_plans() {
    let ground = ground().await;
    let mine = ground.account("a@x.y").await;
    let app = ground.app("demo", mine).await;
    assert_eq!(ground.release(app, "Initial release", Some(mine)).await, 1);
    let (_, operation) = ground.database(app, "postgresql-a-1", "DATABASE").await;
    let mut tx = ground.store.begin().await.expect("begin");
    let sealed = Sealed(vec![7]);
    let new = NewRelease {
        operation: Some(operation),
        config: &sealed,
        ..new_release(app, "Attach DATABASE", None)
    };
    assert!(!releases::made_by(&mut tx, app, operation).await.expect("ask"));
    assert_eq!(releases::insert(&mut tx, &new).await.expect("insert"), 2);
    assert!(releases::made_by(&mut tx, app, operation).await.expect("ask"));
    let newest = releases::newest(&mut tx, app, 10).await.expect("ask");
    let shown: Vec<_> = newest.iter().map(|one| (one.version, one.current)).collect();
    assert_eq!(shown, [(2, true), (1, false)]);
    assert_eq!(newest[0].addon_plan_names, ["heroku-postgresql:standard-0"]);
    assert_eq!((newest[0].account_id(), newest[1].account_id()), (None, Some(mine)));
    assert_eq!(newest[1].email.as_deref(), Some("a@x.y"));
    let oldest = releases::oldest(&mut tx, app, 1).await.expect("ask");
    assert_eq!(oldest, newest[1..]);
    for wanted in ["2".to_owned(), new.id.to_string()] {
        let found = releases::find(&mut tx, app, &wanted).await.expect("ask");
        assert_eq!(found.as_ref(), Some(&newest[0]), "{wanted}");
    }
    assert_eq!(releases::config(&mut tx, new.id).await.expect("ask"), Some(sealed));
    assert_eq!(releases::config(&mut tx, ReleaseId::new()).await.expect("ask"), None);
}

#[tokio::test]
async fn config_vars_are_set_replaced_and_removed() {
    let ground = ground().await;
    let mine = ground.account("a@x.y").await;
    let app = ground.app("demo", mine).await;
    let mut tx = ground.store.begin().await.expect("begin");
    let names = ["B", "A"].map(|name| name.parse().expect("a name"));
    for (name, value) in [(&names[0], 1), (&names[1], 2), (&names[0], 3)] {
        config_vars::set(&mut tx, app, name, &Sealed(vec![value])).await.expect("set");
    }
    let all = config_vars::list(&mut tx, app).await.expect("ask");
    let all: Vec<_> = all.iter().map(|var| (var.name.as_str(), var.value.0[0])).collect();
    assert_eq!(all, [("A", 2), ("B", 3)]);
    config_vars::unset(&mut tx, app, &names[1]).await.expect("unset");
    assert_eq!(config_vars::list(&mut tx, app).await.expect("ask").len(), 1);
    config_vars::clear(&mut tx, app).await.expect("clear");
    assert!(config_vars::list(&mut tx, app).await.expect("ask").is_empty());
}

#[tokio::test]
async fn attachments_name_databases_within_apps_and_are_exchanged_in_place() {
    let ground = ground().await;
    let (mine, other) = (ground.account("a@x.y").await, ground.account("b@x.y").await);
    let (app, shop) = (ground.app("demo", mine).await, ground.app("shop", other).await);
    let (old, _) = ground.database(app, "postgresql-a-1", "DATABASE").await;
    let (new, _) = ground.database(app, "postgresql-b-2", "PINK").await;
    let mut tx = ground.store.begin().await.expect("begin");
    let later = NOW + SignedDuration::from_secs(1);
    let (primary, to) =
        ("DATABASE".parse().expect("a name"), |database| Pointing { database, namespace: None });
    assert!(attachments::url_parts(&mut tx, app).await.expect("ask").is_empty(), "not published");
    assert!(attachments::point(&mut tx, app, &primary, to(new), later).await.expect("point"));
    assert!(!attachments::point(&mut tx, shop, &primary, to(new), later).await.expect("point"));
    let urls = attachments::url_parts(&mut tx, app).await.expect("ask");
    assert_eq!(urls.len(), 1, "what was pointed later has a release of its own");
    assert_eq!(urls[0].attachment, primary);
    attachments::insert(&mut tx, shop, &primary, to(old), later).await.expect("insert");
    assert_eq!(attachments::list_by_app(&mut tx, app).await.expect("ask").len(), 2);
    assert_eq!(attachments::list_by_database(&mut tx, new).await.expect("ask").len(), 2);
    let seen = attachments::list_visible(&mut tx, other).await.expect("ask");
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].app_name.as_str(), seen[0].owner_app_name.as_str()), ("shop", "demo"));
    assert!(attachments::delete(&mut tx, seen[0].id).await.expect("delete"));
    assert!(!attachments::delete(&mut tx, AttachmentId::new()).await.expect("delete"));
    attachments::insert(&mut tx, shop, &primary, to(old), later).await.expect("insert");
    attachments::delete_foreign(&mut tx, shop).await.expect("delete");
    assert!(attachments::list_by_app(&mut tx, shop).await.expect("ask").is_empty());
    let gone = attachments::delete_by_database(&mut tx, new).await.expect("delete");
    assert_eq!(gone, [(app, vec!["DATABASE".to_owned(), "PINK".to_owned()])].into());
    attachments::insert(&mut tx, app, &primary, to(old), later).await.expect("insert");
    let twice = attachments::insert(&mut tx, app, &primary, to(new), later).await;
    assert!(twice.expect_err("taken").is_conflict("attachments_name_key"));
}

#[tokio::test]
async fn addons_are_seen_through_their_app_or_an_attachment() {
    let ground = ground().await;
    let (mine, other) = (ground.account("a@x.y").await, ground.account("b@x.y").await);
    let (app, shop) = (ground.app("demo", mine).await, ground.app("shop", other).await);
    let (id, operation) = ground.database(app, "postgresql-a-1", "DATABASE").await;
    let mut tx = ground.store.begin().await.expect("begin");
    let addon = addons::find_visible(&mut tx, mine, "postgresql-a-1").await.expect("ask");
    let addon = addon.expect("its owner sees it");
    assert!(addon.owned && !addon.published && !addon.destroying);
    assert_eq!((addon.id, addon.plan.name, addon.major), (id, "standard-0", Major(18)));
    assert!(addons::find_visible(&mut tx, other, &id.to_string()).await.expect("ask").is_none());
    let name = "DATABASE".parse().expect("a name");
    let to = Pointing { database: id, namespace: None };
    attachments::insert(&mut tx, shop, &name, to, NOW).await.expect("insert");
    let release =
        NewRelease { operation: Some(operation), ..new_release(app, "Attach DATABASE", None) };
    releases::insert(&mut tx, &release).await.expect("insert");
    let seen = addons::find_visible(&mut tx, other, &id.to_string()).await.expect("ask");
    let seen = seen.expect("seen through the attachment");
    assert!(!seen.owned && seen.published);
    assert_eq!(addons::list_visible(&mut tx, other).await.expect("ask").len(), 1);
    assert_eq!(addons::list_by_app(&mut tx, other, shop).await.expect("ask").len(), 1);
    assert_eq!(attachments::url_parts(&mut tx, shop).await.expect("ask").len(), 1);
    let destroy = New {
        id: OperationId::new(),
        kind: Operation::Destroy,
        database_id: id,
        app_id: app,
        account_id: Some(mine),
        arguments: serde_json::json!({}),
    };
    operations::insert(&mut tx, &destroy, NOW).await.expect("insert");
    let seen = addons::find_visible(&mut tx, mine, "postgresql-a-1").await.expect("ask");
    assert!(seen.expect("until it is withdrawn").destroying);
}

#[tokio::test]
async fn m21_a_request_is_claimed_once_and_its_answer_is_kept_for_a_while() {
    let ground = ground().await;
    let key = Key {
        account: ground.account("a@x.y").await,
        request_id: "1".into(),
        method: "POST".into(),
        path: "/apps".into(),
    };
    let mut tx = ground.store.begin().await.expect("begin");
    assert!(answered_requests::claim(&mut tx, &key, NOW).await.expect("claim"));
    assert!(!answered_requests::claim(&mut tx, &key, NOW).await.expect("claim"));
    answered_requests::give_up(&mut tx, &key).await.expect("give up");
    assert!(answered_requests::find(&mut tx, &key).await.expect("ask").is_none());
    assert!(answered_requests::claim(&mut tx, &key, NOW).await.expect("claim"));
    answered_requests::answer(&mut tx, &key, 201, &Sealed(vec![9])).await.expect("answer");
    answered_requests::give_up(&mut tx, &key).await.expect("what is answered stays");
    let answer = answered_requests::find(&mut tx, &key).await.expect("ask").expect("there");
    assert_eq!((answer.status, answer.body, answer.at), (201, Sealed(vec![9]), NOW));
    answered_requests::forget(&mut tx, NOW).await.expect("forget");
    assert!(answered_requests::find(&mut tx, &key).await.expect("ask").is_some());
    let later = NOW + SignedDuration::from_secs(1);
    answered_requests::forget(&mut tx, later).await.expect("forget");
    assert!(answered_requests::find(&mut tx, &key).await.expect("ask").is_none());
}

#[tokio::test]
async fn e31_an_upload_is_for_its_sender_alone_and_goes_when_nobody_wants_it() {
    let ground = ground().await;
    let (owner, other) = (ground.account("a@b.c").await, ground.account("d@e.f").await);
    let mut tx = ground.store.begin().await.expect("begin");
    let server = ServerId::new();
    let one = Server {
        id: server,
        name: "one".to_owned(),
        region: "us".to_owned(),
        agent: "/run/agent.sock".to_owned(),
        created_at: NOW,
    };
    servers::register(&mut tx, &one).await.expect("register");
    let (whole, half) = (TransferId::new(), TransferId::new());
    for id in [whole, half] {
        uploads::insert(&mut tx, id, owner, server, NOW).await.expect("insert");
    }
    uploads::complete(&mut tx, whole, NOW).await.expect("complete");
    for (id, account, is) in [(whole, owner, true), (whole, other, false), (half, owner, false)] {
        assert_eq!(uploads::is_complete(&mut tx, id, account).await.expect("answers"), is);
    }
    let old = uploads::list_erasable(&mut tx, NOW, 9).await.expect("list");
    assert!(old.is_empty(), "they are not old: {old:?}");
    let later = NOW + SignedDuration::from_secs(1);
    let old = uploads::list_erasable(&mut tx, later, 9).await.expect("list");
    assert_eq!(old, [(whole, server), (half, server)]);
    uploads::erased(&mut tx, whole).await.expect("erase");
    assert!(!uploads::is_complete(&mut tx, whole, owner).await.expect("answers"));
}
