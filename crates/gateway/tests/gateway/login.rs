//! Who comes in, and what those are told who do not.

use howdah_gateway::error::ErrorKind;
use howdah_gateway::{Plaintext, tls};

use crate::cluster::{Cluster, majors};
use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn m1_tls_is_required_and_a_client_without_it_is_told_in_postgresqls_words() {
    let cluster = Cluster::start().await;
    let rig = Rig::with(cluster, |config| config.plaintext = Plaintext::Refused).await;
    let tenant = rig.tenant("a").await;
    assert_eq!(rig.ask(&tenant, "sslmode=require", "select 1").await, Ok("1".into()));
    let told = rig.ask(&tenant, "sslmode=require", "\\conninfo").await.expect("in");
    assert!(told.contains("SSL connection (protocol: TLSv1.3"), "{told}");
    let ca = rig.dir.path().join("tls/ca.pem");
    let verified = format!("sslmode=verify-full sslrootcert={}", ca.display());
    assert_eq!(rig.ask(&tenant, &verified, "select current_user").await, Ok("u_a".into()));
    let wrong_name = format!("{verified} host=elsewhere");
    assert!(
        rig.ask(&tenant, &wrong_name, "select 1").await.expect_err("refused").contains("elsewhere")
    );
    let refusal = rig.ask(&tenant, "sslmode=disable", "select 1").await.expect_err("refused");
    let words = "FATAL:  no pg_hba.conf entry for host \"127.0.0.1\", user \"u_a\", database \"d_a\", no encryption";
    assert!(refusal.contains(words), "{refusal}");
    assert_eq!(rig.gateway.stats().errors(ErrorKind::NoEncryption), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_binding_is_offered_and_works() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let bound = "sslmode=require channel_binding=require";
    assert_eq!(rig.ask(&tenant, bound, "select 1").await, Ok("1".into()));
    let unbound = "sslmode=require channel_binding=disable";
    assert_eq!(rig.ask(&tenant, unbound, "select 1").await, Ok("1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_major_takes_the_key_that_the_client_proved() {
    for bin in majors() {
        let rig = Rig::with(Cluster::start_with(&bin).await, |_| {}).await;
        // Rounds as PostgreSQL makes them, and a password that needs preparation (SASLprep).
        let (tenant, route) = rig.make_with("a", "p\u{e4}ss w\u{f6}rd".into(), 4096).await;
        rig.platform.change(|routes| routes.push(route));
        let sql = "select current_user, current_database(), current_setting('application_name'), current_setting('work_mem')";
        let options = "sslmode=require application_name=app options='-c work_mem=5MB'";
        let row = rig.ask(&tenant, options, sql).await;
        assert_eq!(row, Ok("u_a|d_a|app|5MB".into()), "{}", bin.display());
        // The newest libpq may ask for a later protocol and negotiates it down.
        let psql = bin.join("psql").display().to_string();
        let output =
            rig.program(&psql, &tenant, "sslmode=require").args(["-Xc", "select 1"]).output();
        assert!(output.await.expect("psql").status.success(), "{psql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_tls_and_later_protocols_of_new_clients_work() {
    let Some(new) = majors().into_iter().find(|bin| bin.ends_with("18/bin")) else { return };
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let psql = new.join("psql").display().to_string();
    let ca = rig.dir.path().join("tls/ca.pem");
    for options in [
        format!("sslnegotiation=direct sslmode=verify-full sslrootcert={}", ca.display()),
        "sslmode=require max_protocol_version=latest".to_owned(),
        "sslmode=require max_protocol_version=3.2".to_owned(),
        "sslmode=disable max_protocol_version=3.2".to_owned(),
    ] {
        let output =
            rig.program(&psql, &tenant, &options).args(["-XAtc", "select 1"]).output().await;
        let output = output.expect("psql");
        assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"1\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_and_unknown_roles_get_the_same_answer() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let mut wrong = tenant.clone();
    wrong.password = "no".into();
    let mut unknown = tenant.clone();
    unknown.role = "nobody".into();
    for who in [&wrong, &unknown] {
        let refusal = rig.ask(who, "sslmode=require", "select 1").await.expect_err("refused");
        let words = format!("FATAL:  password authentication failed for user \"{}\"", who.role);
        assert!(refusal.contains(&words), "{refusal}");
        let error = rig.connect(who).await.err().expect("refused");
        assert_eq!(error.code().expect("a code").code(), "28P01");
    }
    assert_eq!(rig.gateway.stats().errors(ErrorKind::InvalidPassword), 4);
    assert_eq!(rig.gateway.stats().sessions_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_opens_its_own_database_only() {
    let rig = Rig::start().await;
    let (tenant, other) = (rig.tenant("a").await, rig.tenant("b").await);
    for database in ["postgres", other.database.as_str(), "missing"] {
        let mut elsewhere = tenant.clone();
        elsewhere.database = database.to_owned();
        let error = rig.connect(&elsewhere).await.err().expect("refused");
        let error = error.as_db_error().expect("PostgreSQL's form");
        assert_eq!(error.code().code(), "3D000");
        assert_eq!(error.message(), format!("database \"{database}\" does not exist"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_clearly() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    for replication in ["database", "true"] {
        let options = format!("sslmode=require replication={replication}");
        let refusal = rig.ask(&tenant, &options, "select 1").await.expect_err("refused");
        assert!(refusal.contains("FATAL:  permission denied to start WAL sender"), "{refusal}");
    }
    assert_eq!(rig.gateway.stats().errors(ErrorKind::ReplicationRefused), 2);
    // PostgreSQL's own refusals reach the client as they are.
    let refusal = rig
        .ask(&tenant, "sslmode=require options='-c no_such=1'", "select 1")
        .await
        .expect_err("refused");
    assert!(refusal.contains("unrecognized configuration parameter \"no_such\""), "{refusal}");
    assert_eq!(rig.gateway.stats().errors(ErrorKind::ServerRefused), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_in_postgresql_is_told_as_such() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    rig.cluster.sql("alter role u_a password 'changed by SQL'").await;
    let error = rig.connect(&tenant).await.err().expect("refused");
    let error = error.as_db_error().expect("PostgreSQL's form");
    assert_eq!(error.code().code(), "57P03");
    assert_eq!(error.message(), "the password of role \"u_a\" was changed outside the platform");
    assert!(error.hint().is_some());
    assert_eq!(rig.gateway.stats().errors(ErrorKind::CredentialDrift), 1);
}

#[test]
fn the_certificate_covers_the_given_names() {
    let dir = tempfile::tempdir().expect("directory");
    let made = tls::ensure(dir.path(), &["db.example.com".into(), "192.0.2.1".into()]);
    let made = made.expect("made");
    let text = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(&made.gateway.certificate)
        .output();
    let Ok(text) = text else { return };
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for name in
        ["DNS:db.example.com", "IP Address:192.0.2.1", "DNS:localhost", "IP Address:127.0.0.1"]
    {
        assert!(text.contains(name), "{name}: {text}");
    }
}
