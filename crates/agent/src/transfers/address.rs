//! Which addresses that a tenant gives may be connected to. Pure but for the resolving of names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Networks that may be connected to although they are not public: HOWDAH_TRANSFER_ALLOW.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

/// A text that is no list of networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network; write it as 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork(String);

impl FromStr for Networks {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), NotANetwork> {
    let bad = || NotANetwork(text.to_owned());
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => longest,
        Some(length) => length.parse().ok().filter(|bits| *bits <= longest).ok_or_else(bad)?,
    };
    Ok((address, length))
}

impl Networks {
    fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| is_in(address, *network))
    }
}

fn is_in(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let same = |a: u128, b: u128, bits: u32| {
        let shift = bits - u32::from(length).min(bits);
        shift >= bits || a >> shift == b >> shift
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// Why an address is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "`{host}` is not a public address; whoever runs the platform can allow its network with \
         HOWDAH_TRANSFER_ALLOW"
    )]
    NotPublic { host: String },
    #[error("`{host}` cannot be found: {why}")]
    Unknown { host: String, why: String },
}

/// Networks that are not the public internet, or that stand for something else.
const NOT_PUBLIC: &[(IpAddr, u8)] = &[
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 88, 99, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
    v6([0, 0, 0], 96),
    v6([0x64, 0xff9b, 1], 48),
    v6([0x100, 0, 0], 64),
    v6([0x2001, 0xdb8, 0], 32),
    v6([0x2001, 0, 0], 23),
    v6([0x3fff, 0, 0], 20),
    v6([0x5f00, 0, 0], 16),
    v6([0xfc00, 0, 0], 7),
    v6([0xfe80, 0, 0], 10),
    v6([0xfec0, 0, 0], 10),
    v6([0xff00, 0, 0], 8),
];

const fn v4(a: u8, b: u8, c: u8, length: u8) -> (IpAddr, u8) {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), length)
}

const fn v6(begin: [u16; 3], length: u8) -> (IpAddr, u8) {
    (IpAddr::V6(Ipv6Addr::new(begin[0], begin[1], begin[2], 0, 0, 0, 0, 0)), length)
}

/// The IPv4 address that an IPv6 address stands for: mapped, by NAT64 or by 6to4.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) | (0, 0, 0, 0, 0xffff, 0) => v4(g, h),
        (0x2002, high, low, _, _, _) => v4(high, low),
        _ => None,
    }
}

/// Whether an address may be connected to. `is_own` says whether it is one of this machine.
fn may_reach(address: IpAddr, allowed: &Networks, is_own: &dyn Fn(IpAddr) -> bool) -> bool {
    let plain = match address {
        IpAddr::V6(v6) => within(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    if allowed.hold(plain) {
        return true;
    }
    !NOT_PUBLIC.iter().any(|network| is_in(plain, *network)) && !is_own(plain)
}

/// Whether an address is one of this machine: only such a one can be bound.
fn is_own(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Finds the address of a host and checks it. Every address that the name has must be good: one of
/// several would be a matter of luck. The answer is what is connected to, and nothing else.
pub(crate) async fn find(host: &str, port: u16, allowed: &Networks) -> Result<IpAddr, Refused> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |why: String| Refused::Unknown { host: host.to_owned(), why };
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => {
            let looking = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((bare, port)));
            let found = looking.await.map_err(|_| unknown("no name server answers".to_owned()))?;
            found.map_err(|error| unknown(error.to_string()))?.map(|one| one.ip()).collect()
        }
    };
    choose(host, &found, allowed, &is_own)
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

fn choose(
    host: &str,
    found: &[IpAddr],
    allowed: &Networks,
    is_own: &dyn Fn(IpAddr) -> bool,
) -> Result<IpAddr, Refused> {
    if !found.iter().all(|address| may_reach(*address, allowed, is_own)) {
        return Err(Refused::NotPublic { host: host.to_owned() });
    }
    // IPv4 first: more machines have a way there.
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first
        .copied()
        .ok_or_else(|| Refused::Unknown { host: host.to_owned(), why: "it has no address".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODYS: &dyn Fn(IpAddr) -> bool = &|_| false;

    fn may(address: &str, allowed: &str) -> bool {
        may_reach(address.parse().expect(address), &allowed.parse().expect(allowed), NOBODYS)
    }

    #[test]
    fn e21_only_public_addresses_are_reached_in_whatever_form() {
        for bad in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.170",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "::ffff:0:127.0.0.1",
        ] {
            assert!(!may(bad, ""), "{bad}");
        }
        for good in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(may(good, ""), "{good}");
        }
        let own: &dyn Fn(IpAddr) -> bool = &|address| address.to_string() == "8.8.8.8";
        let none = Networks::default();
        assert!(!may_reach("8.8.8.8".parse().expect("v4"), &none, own));
        assert!(!may_reach("::ffff:8.8.8.8".parse().expect("v6"), &none, own));
    }

    #[test]
    fn networks_that_are_allowed_are_reached_and_no_others() {
        assert!(may("127.0.0.1", "127.0.0.0/8") && may("::ffff:127.0.0.1", "127.0.0.0/8"));
        assert!(may("10.9.9.9", "192.168.0.0/16, 10.0.0.0/8") && may("fd00::1", "fd00::/8"));
        assert!(may("10.1.2.3", "10.1.2.3") && !may("10.1.2.4", "10.1.2.3"));
        assert!(may("10.1.2.4", "0.0.0.0/0") && !may("fd00::1", "0.0.0.0/0"));
        for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "fd00::/129", "10.0.0.0/-1", "localhost"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert_eq!(" , ".parse(), Ok(Networks::default()));
    }

    #[tokio::test]
    async fn names_are_resolved_here_and_all_their_addresses_count() {
        let none = Networks::default();
        // Forms that the resolver of the system takes for 127.0.0.1.
        for host in ["localhost", "127.1", "0177.0.0.1", "2130706433", "0x7f000001", "[::1]", "0"] {
            let found = find(host, 5432, &none).await;
            assert!(matches!(found, Err(Refused::NotPublic { .. })), "{host}: {found:?}");
        }
        let loopback = "127.0.0.0/8, ::1".parse().expect("networks");
        assert!(find("localhost", 5432, &loopback).await.is_ok_and(|ip| ip.is_loopback()));
        let several = ["8.8.8.8", "10.0.0.1"].map(|ip| ip.parse().expect(ip));
        assert!(choose("both", &several, &none, NOBODYS).is_err());
        assert_eq!(choose("one", &several[..1], &none, NOBODYS), Ok(several[0]));
        assert!(matches!(choose("none", &[], &none, NOBODYS), Err(Refused::Unknown { .. })));
    }
}
