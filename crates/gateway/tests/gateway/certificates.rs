//! Certificates that change while the gateway runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_gateway::tls::{self, Tls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::rig::{Rig, until};

/// The certificate that a client is shown, with what the gateway knows of that client: the name
/// that it meant, and what it binds to.
async fn shown(tls: &Tls, ca: &Path) -> (Vec<u8>, String, Arc<[u8]>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("authority")).expect("added");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("address");
    let client = async {
        let socket = TcpStream::connect(address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        let stream = stream.expect("TLS");
        let certificates = stream.get_ref().1.peer_certificates().expect("certificates");
        certificates[0].as_ref().to_vec()
    };
    let server = async {
        let (socket, _) = listener.accept().await.expect("accepted");
        tls.secure(socket, Vec::new()).await.expect("TLS")
    };
    let (certificate, secured) = futures_util::join!(client, server);
    let name = secured.server_name().expect("a name").to_owned();
    (certificate, name, secured.end_point().expect("an end point").clone())
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

#[tokio::test]
async fn a_client_is_bound_to_the_certificate_that_it_was_shown() {
    let dir = tempfile::tempdir().expect("directory");
    let made = tls::ensure(dir.path(), &[]).expect("made");
    let tls = Tls::load(&made.gateway).expect("loaded");
    let (old, name, end_point) = shown(&tls, &made.ca).await;
    assert_eq!((name.as_str(), end_point.to_vec()), ("localhost", sha256(&old)));
    tls::ensure(dir.path(), &["db.example.com".into()]).expect("made anew");
    // Nothing changes by half.
    let (same, _, end_point) = shown(&tls, &made.ca).await;
    assert_eq!((&same, end_point.to_vec()), (&old, sha256(&old)));
    tls.reload().expect("reloaded");
    let (new, _, end_point) = shown(&tls, &made.ca).await;
    assert_eq!(end_point.to_vec(), sha256(&new));
    assert_ne!(new, old);
}

#[tokio::test]
async fn a_new_certificate_that_is_no_good_leaves_the_old_one_in_place() {
    let (dir, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (dir, other) = (dir.expect("directory"), other.expect("directory"));
    let made = tls::ensure(dir.path(), &[]).expect("made");
    let strange = tls::ensure(other.path(), &[]).expect("made");
    let tls = Tls::load(&made.gateway).expect("loaded");
    let (old, ..) = shown(&tls, &made.ca).await;
    let good = std::fs::read(&made.gateway.certificate).expect("certificate");
    let of_another_key = std::fs::read(&strange.gateway.certificate).expect("certificate");
    for bad in [&b"nonsense"[..], b"", &of_another_key, &good[..good.len() / 2]] {
        std::fs::write(&made.gateway.certificate, bad).expect("written");
        tls.reload().expect_err("refused");
        assert_eq!(shown(&tls, &made.ca).await.0, old);
    }
    std::fs::remove_file(&made.gateway.certificate).expect("removed");
    tls.reload().expect_err("refused");
    assert_eq!(shown(&tls, &made.ca).await.0, old);
    std::fs::write(&made.gateway.certificate, good).expect("written");
    tls.reload().expect("reloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_restart_and_binds_its_clients() {
    let rig = Rig::start().await;
    let tenant = rig.tenant("a").await;
    let ca = rig.dir.path().join("tls/ca.pem");
    let options = format!(
        "host=db.example.com sslmode=verify-full channel_binding=require sslrootcert={}",
        ca.display()
    );
    let refusal = rig.ask(&tenant, &options, "select 1").await.expect_err("another name");
    assert!(refusal.contains("db.example.com"), "{refusal}");
    let session = rig.connect(&tenant).await.expect("in");
    tls::ensure(&rig.dir.path().join("tls"), &["db.example.com".into()]).expect("renewed");
    until("the new one is shown", || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        rig.ask(&tenant, &options, "select 1").await == Ok("1".into())
    })
    .await;
    assert_eq!(session.one("select 'well'").await, "well");
}
