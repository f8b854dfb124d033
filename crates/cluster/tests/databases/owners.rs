//! What an owner does to its database, and what is left of it after a convergence.

use super::*;

#[tokio::test]
async fn m5_a_reset_and_a_removal_succeed_whatever_the_owner_has_made_of_its_database() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (mut one, two) = (Tenant::new("one"), Tenant::new("two"));
        converge(&cluster, &wanted(&[&one, &two])).await;
        let sabotage = async |tenant: &Tenant| {
            let session = tenant.connect(&cluster.socket_dir).await.unwrap();
            let (database, role) = (&tenant.name, &tenant.spec.owner);
            let newer =
                if major.version.major.0 >= 17 { "transaction_timeout" } else { "work_mem" };
            for change in [
                format!("alter database {database} is_template true"),
                format!("alter database {database} connection limit 0"),
                format!("alter database {database} set local_preload_libraries = 'nothing'"),
                format!("alter database {database} set {newer} = 64"),
                format!("alter database {database} set statement_timeout = 1"),
                format!("alter role {role} set local_preload_libraries = 'nothing'"),
                format!("alter role {role} set default_transaction_read_only = on"),
            ] {
                session.ask(&change).await.unwrap();
            }
            drop(session);
            assert!(tenant.connect(&cluster.socket_dir).await.is_err(), "it has locked itself out");
        };
        sabotage(&one).await;
        let inside = cluster.connect(one.name.as_str(), Limits::WORK).await.unwrap();
        inside.run("begin; select pg_sleep(0.2); select 1").await.unwrap();
        inside.close().await;
        one.spec.incarnation = Incarnation(2);
        assert_eq!(converge(&cluster, &wanted(&[&one, &two])).await.tasks, 1);
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(session.ask("show transaction_read_only").await.unwrap(), "off");
        sabotage(&two).await;
        converge(&cluster, &wanted(&[&one])).await;
        assert_eq!(
            inventory(&cluster).await,
            ["database d_one", "record d_one 2", "role record u_one", "role u_one"]
        );
    }
}

#[tokio::test]
async fn d27_c31_m5_what_a_tenant_changes_is_put_right_by_the_next_full_look() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let (one, two) = (Tenant::new("one"), Tenant::new("two"));
        let both = wanted(&[&one, &two]);
        converge(&cluster, &both).await;
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        for change in [
            "alter role u_one password 'mine'",
            "alter database d_one connection limit 0",
            "grant connect on database d_one to public",
            "grant create on database d_one to u_two",
            "alter database d_one set work_mem = '1MB'",
        ] {
            session.ask(change).await.unwrap();
        }
        assert!(session.ask("grant u_one to u_two").await.is_err());
        drop(session);
        assert!(one.connect(&cluster.socket_dir).await.is_err());
        let stranger = two.connect_to(&cluster.socket_dir, "d_one").await;
        assert!(stranger.is_err(), "the limit is 0");
        assert_eq!(converge(&cluster, &both).await.tasks, 1);
        assert_eq!(converge(&cluster, &both).await.tasks, 0);
        let session = one.connect(&cluster.socket_dir).await.unwrap();
        assert_eq!(session.ask("show work_mem").await.unwrap(), "1MB", "J31: the tenant's own");
        assert!(two.connect_to(&cluster.socket_dir, "d_one").await.is_err());
    }
}

#[tokio::test]
async fn c31_the_connection_limit_holds_against_the_owner() {
    for major in majors() {
        let home = Home::new();
        let cluster = home.running(&major, "a").await;
        let one = Tenant::new("one");
        converge(&cluster, &wanted(&[&one])).await;
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(one.connect(&cluster.socket_dir).await.unwrap());
        }
        let raise = sessions[0].ask("alter database d_one connection limit 100").await;
        assert_eq!(raise, Ok(String::new()));
        for raise in
            ["alter role u_one connection limit 100", "alter role current_user connection limit -1"]
        {
            assert!(sessions[0].ask(raise).await.unwrap_err().starts_with("42501"));
        }
        let sixth = one.connect(&cluster.socket_dir).await.unwrap_err();
        assert_eq!(sixth.code().map(|code| code.code()), Some("53300"));
        // K6: the platform still gets in.
        look::look(&cluster.socket_dir, &one.name, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    }
}
