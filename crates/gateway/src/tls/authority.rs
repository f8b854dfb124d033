//! The platform's own certificate authority: made at the first start, kept ever after.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::config::TlsFiles;

const DAY: Duration = Duration::from_secs(24 * 3600);
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3650);
const LIFE: Duration = DAY.saturating_mul(365);
/// A certificate with less than this left is renewed.
const RENEW_BEFORE: Duration = DAY.saturating_mul(30);
/// Clocks of clients may be late.
const BACKDATED: Duration = DAY;

/// What [`ensure`] left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The root that clients verify with (`sslrootcert`).
    pub ca: PathBuf,
    /// What the gateway shows.
    pub gateway: TlsFiles,
}

/// Makes sure that `dir` holds a certificate authority (`ca.pem`, `ca.key`) and a certificate of
/// the gateway (`gateway.pem`, `gateway.key`) for this machine and all `names` (host names or
/// addresses). The certificate is renewed with the same key when it has fewer than 30 days left or
/// is for other names. Keys are readable by their owner only. It can be repeated.
///
/// # Errors
/// When a file cannot be read or written, or a name cannot be in a certificate.
pub fn ensure(dir: &Path, names: &[String]) -> anyhow::Result<Authority> {
    ensure_at(dir, names, SystemTime::now())
}

fn ensure_at(dir: &Path, names: &[String], now: SystemTime) -> anyhow::Result<Authority> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("make the directory `{}`", dir.display()))?;
    let names = all_names(names);
    let ca_key = ensure_key(&dir.join("ca.key"))?;
    let ca = dir.join("ca.pem");
    let ca_is_new = !good_until(&ca, now + RENEW_BEFORE, None);
    let issuer_params = authority_params(now)?;
    if ca_is_new {
        let certificate = issuer_params.self_signed(&ca_key).context("sign the authority")?;
        write(&ca, certificate.pem().as_bytes(), 0o644)?;
    }
    let gateway = TlsFiles { certificate: dir.join("gateway.pem"), key: dir.join("gateway.key") };
    let key = ensure_key(&gateway.key)?;
    if ca_is_new || !good_until(&gateway.certificate, now + RENEW_BEFORE, Some(&names)) {
        let issuer = Issuer::new(issuer_params, ca_key);
        let params = gateway_params(&names, now)?;
        let certificate = params.signed_by(&key, &issuer).context("sign the certificate")?;
        write(&gateway.certificate, certificate.pem().as_bytes(), 0o644)?;
    }
    Ok(Authority { ca, gateway })
}

/// The given names and those that this machine has in any case.
fn all_names(names: &[String]) -> BTreeSet<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let given = names.iter().filter(|name| !name.is_empty()).cloned();
    let usable = |name: &String| !name.is_empty() && name.is_ascii();
    // An address is compared with that of the certificate, so it has one spelling.
    let spell = |name: String| match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name,
    };
    own.into_iter().chain(Some(host).filter(usable)).chain(given).map(spell).collect()
}

fn authority_params(now: SystemTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("describe the authority")?;
    params.distinguished_name.push(DnType::CommonName, "Howdah certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + AUTHORITY_LIFE).into();
    Ok(params)
}

fn gateway_params(names: &BTreeSet<String>, now: SystemTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("describe the certificate")?;
    params.distinguished_name.push(DnType::CommonName, "Howdah gateway");
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                name.as_str()
                    .try_into()
                    .with_context(|| format!("`{name}` cannot be in a certificate"))?,
            ),
        });
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LIFE).into();
    Ok(params)
}

/// Whether the certificate in `path` is valid until `then`, and for exactly these names.
fn good_until(path: &Path, then: SystemTime, names: Option<&BTreeSet<String>>) -> bool {
    let Ok(der) = CertificateDer::from_pem_file(path) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let then = then
        .duration_since(UNIX_EPOCH)
        .map_or(i64::MAX, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    certificate.validity().not_after.timestamp() > then
        && names.is_none_or(|names| names_of(&certificate) == *names)
}

fn names_of(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn ensure_key(path: &Path) -> anyhow::Result<KeyPair> {
    let reading = || format!("read the key `{}`", path.display());
    match fs::read_to_string(path) {
        Ok(pem) => return KeyPair::from_pem(&pem).with_context(reading),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(reading),
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("make a key")?;
    write(path, key.serialize_pem().as_bytes(), 0o600)?;
    Ok(key)
}

/// Writes a file that is whole at every moment and never has wider permissions than `mode`.
fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft);
    written
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Tls;
    use std::os::unix::fs::PermissionsExt as _;

    fn read(path: &Path) -> Vec<u8> {
        fs::read(path).expect("file")
    }

    #[test]
    fn an_authority_is_made_once_and_its_keys_are_private() {
        let dir = tempfile::tempdir().expect("directory");
        let dir = dir.path().join("tls");
        let made = ensure(&dir, &["db.example.com".into()]).expect("made");
        Tls::load(&made.gateway).expect("usable");
        for key in ["ca.key", "gateway.key"] {
            let mode = fs::metadata(dir.join(key)).expect("key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        let before = (read(&made.ca), read(&made.gateway.certificate));
        assert_eq!(ensure(&dir, &["db.example.com".into()]).expect("again"), made);
        assert_eq!((read(&made.ca), read(&made.gateway.certificate)), before);
    }

    #[test]
    fn the_certificate_is_renewed_in_time_and_for_other_names_with_the_same_keys() {
        let dir = tempfile::tempdir().expect("directory");
        let now = SystemTime::now();
        let made = ensure_at(dir.path(), &[], now).expect("made");
        let files = [&made.ca, &made.gateway.key, &made.gateway.certificate];
        let [ca, key, certificate] = files.map(|path| read(path));

        ensure_at(dir.path(), &[], now + DAY * 300).expect("early");
        assert_eq!(read(&made.gateway.certificate), certificate);
        ensure_at(dir.path(), &[], now + DAY * 340).expect("late");
        let renewed = read(&made.gateway.certificate);
        assert_ne!(renewed, certificate);
        ensure_at(dir.path(), &["10.1.2.3".into()], now + DAY * 341).expect("named");
        assert_ne!(read(&made.gateway.certificate), renewed);
        assert_eq!((read(&made.ca), read(&made.gateway.key)), (ca, key));
    }

    #[test]
    fn a_name_that_cannot_be_in_a_certificate_is_told() {
        let dir = tempfile::tempdir().expect("directory");
        let error = ensure(dir.path(), &["bücher".into()]).expect_err("refused");
        assert!(format!("{error:#}").contains("`bücher` cannot be in a certificate"), "{error:#}");
    }
}
