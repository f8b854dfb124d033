//! Settings on servers that several sessions share.

use howdah_gateway::session::record::{Carried, Tenure, apply};

use crate::cluster::{Cluster, majors};
use crate::session::{Client, Session, ground};

/// What a client gives in its first packet, and what it sets then.
type Kind = (&'static [(&'static str, &'static str)], &'static [&'static str]);

#[tokio::test]
async fn h22_a_shared_server_goes_from_one_sessions_settings_to_anothers() {
    for bin in majors() {
        let cluster = Cluster::start_with(&bin).await;
        ground(&cluster).await;
        let all: &[Kind] = &[
            (&[], &[]),
            (&[("application_name", "one"), ("options", "-c geqo=off -c app.flag=a\\ b")], &[]),
            (&[("datestyle", "ISO, DMY")], &["set work_mem = '5MB'", "set app.tenant = 'x ''y'"]),
            (&[], &["set role other", "set app.tenant = 2", "set search_path = \"a b\", public"]),
            (&[], &["set role other", "set work_mem = '6MB'"]),
        ];
        let mut shared = Client::connect(&cluster, &[]).await;
        let mut from = Carried::none();
        let bare = shared.state().await;
        let turns = [0, 1, 2, 0, 3, 4, 3, 2, 1, 4, 0];
        for turn in turns {
            let (parameters, statements) = all[turn];
            let mut session = Session::with(&cluster, parameters, Tenure::Shared).await;
            for statement in statements {
                session.query(statement).await;
            }
            // On its own server the first packet is not the session's to set.
            let startup = Session::with(&cluster, parameters, Tenure::Shared).await.record;
            session.settle().await;
            let wanted =
                if statements.is_empty() { startup.carried() } else { session.record.carried() };
            shared.play(&apply(wanted, &from)).await;
            for (name, value) in wanted.iter() {
                let listed = format!("select setting from pg_settings where name = '{name}'");
                let shown = format!("select current_setting('{name}')");
                let now = [shared.ask(&listed).await, shared.ask(&shown).await].concat();
                assert!(now.iter().any(|now| now == value), "{name}: {now:?}");
            }
            assert!(apply(wanted, wanted).is_empty());
            from = wanted.clone();
        }
        // Placeholders stay, with nothing in them.
        let after = shared.state().await;
        let named = |state: &[String]| -> Vec<String> {
            state.iter().filter(|line| !line.starts_with("app.")).cloned().collect()
        };
        assert_eq!(named(&after), named(&bare));
        assert!(after.contains(&"app.tenant=".to_owned()));
    }
}

#[tokio::test]
async fn h22_a_date_style_without_an_order_does_not_get_that_of_the_session_before() {
    let cluster = Cluster::start().await;
    ground(&cluster).await;
    let mut shared = Client::connect(&cluster, &[]).await;
    let mut from = Carried::none();
    for (style, shown) in [("German", "German, DMY"), ("ISO", "ISO, MDY")] {
        let session = Session::with(&cluster, &[("DateStyle", style)], Tenure::Shared).await;
        shared.play(&apply(session.record.carried(), &from)).await;
        assert_eq!(shared.ask("show datestyle").await, [shown]);
        from = session.record.carried().clone();
    }
}

#[tokio::test]
async fn h22_what_cannot_be_applied_leaves_the_server_as_it_was() {
    let cluster = Cluster::start().await;
    ground(&cluster).await;
    let mut session = Session::with(&cluster, &[], Tenure::Shared).await;
    session.query("set work_mem = '5MB'; set role other").await;
    session.settle().await;
    cluster.sql("revoke other from app").await;
    let mut shared = Client::connect(&cluster, &[]).await;
    let script = apply(session.record.carried(), &Carried::none());
    let answers = shared.run(&script).await;
    let troubles = script.judge(&answers);
    assert_eq!(troubles.len(), 1);
    assert!(troubles[0].step.is_vital());
    assert_eq!(troubles[0].to_string(), "its settings failed with 42501");
    assert_eq!(shared.ask("show work_mem").await, ["4MB"]);
}
