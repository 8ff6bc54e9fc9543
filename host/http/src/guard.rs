//! Who may ask, and how often.

use axum::http::{HeaderMap, StatusCode, header};
use millpond_stratum::Network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Addresses remembered by the limiter; when full, the idle half is forgotten.
const ADDRESSES: usize = 10_000;

/// Each proxy appends whom it heard the request from.
const FORWARDED: &str = "x-forwarded-for";

/// What the guard checks.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// Names that the Host header may carry, beside loopback's.
    pub hosts: Vec<String>,
    /// Requests a second of one address (IPv6: of one /64); twice as many may come at once.
    pub requests_per_second: u32,
    /// Proxies whose `X-Forwarded-For` header is believed.
    pub forwarded_from: Vec<Network>,
}

#[derive(Debug)]
pub(crate) struct Guard {
    options: GuardOptions,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Guard {
    pub(crate) fn new(options: GuardOptions) -> Self {
        Self { options, buckets: Mutex::default() }
    }

    /// Whether an address speaks for many: a proxy that was named, or this machine's own, where one may stand unnamed.
    pub(crate) fn stands_for_others(&self, peer: IpAddr) -> bool {
        peer.to_canonical().is_loopback() || self.is_proxy(peer)
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.options.forwarded_from.iter().any(|network| network.contains(address))
    }

    /// Who asks: the peer, or, of a proxy that was named, the last address in `X-Forwarded-For` that is none of the proxies.
    /// What stands before that one the asker may have written himself.
    fn asker(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut asker = peer;
        let told = headers.get_all(FORWARDED).iter().filter_map(|line| line.to_str().ok());
        let told: Vec<&str> = told.flat_map(|line| line.split(',')).map(str::trim).collect();
        for address in told.iter().rev() {
            if !self.is_proxy(asker) {
                break;
            }
            // What is no address is not gone beyond: it was not written by a proxy of ours.
            let Ok(address) = address.parse() else { break };
            asker = address;
        }
        asker
    }

    /// Admits a request of a peer, or says why not.
    pub(crate) fn admit(
        &self,
        from: IpAddr,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), (StatusCode, String)> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let name = without_port(host).to_ascii_lowercase();
        let loopback = matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if !loopback && !self.options.hosts.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            let why = format!("the Host header names {name:?}; add it to http.hosts to allow it\n");
            return Err((StatusCode::MISDIRECTED_REQUEST, why));
        }
        let rate = f64::from(self.options.requests_per_second.max(1));
        let burst = rate * 2.0;
        let mut buckets = self.buckets.lock();
        if buckets.len() >= ADDRESSES {
            buckets.retain(|_, (_, last)| now.saturating_duration_since(*last).as_secs_f64() < 2.0);
        }
        if buckets.len() >= ADDRESSES {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "too many addresses ask at once\n".to_owned()));
        }
        let (tokens, last) = buckets.entry(prefix(self.asker(from, headers))).or_insert((burst, now));
        *tokens = (*tokens + now.saturating_duration_since(*last).as_secs_f64() * rate).min(burst);
        *last = now;
        if *tokens < 1.0 {
            return Err((StatusCode::TOO_MANY_REQUESTS, format!("more than {rate} requests a second\n")));
        }
        *tokens -= 1.0;
        Ok(())
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

/// One person has a /64 at least.
pub(crate) fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn guard() -> Guard {
        let forwarded_from = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        Guard::new(GuardOptions {
            hosts: vec!["pool.example".into()],
            requests_per_second: 5,
            forwarded_from,
        })
    }

    #[test]
    fn a_named_proxy_says_who_asks_and_nobody_else_does() {
        let guard = guard();
        let asker = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED, line.parse().unwrap());
            }
            guard.asker(peer.parse().unwrap(), &headers).to_string()
        };
        assert_eq!(asker("127.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(asker("::ffff:127.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            asker("127.0.0.1", &["6.6.6.6, 192.0.2.1"]),
            "192.0.2.1",
            "the first was the asker's own word"
        );
        assert_eq!(asker("127.0.0.1", &["6.6.6.6", "192.0.2.1, 10.1.2.3"]), "192.0.2.1", "over two proxies");
        assert_eq!(asker("127.0.0.1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(asker("203.0.113.9", &["192.0.2.1"]), "203.0.113.9", "no proxy of ours");
        assert_eq!(asker("127.0.0.1", &["192.0.2.1, nonsense"]), "127.0.0.1");
        assert_eq!(asker("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn behind_a_proxy_each_asker_has_his_own_rate() {
        let (guard, now, proxy) = (guard(), Instant::now(), "127.0.0.1".parse().unwrap());
        let from = |asker: &str| {
            let mut headers = host("pool.example");
            headers.append(FORWARDED, asker.parse().unwrap());
            guard.admit(proxy, &headers, now).is_ok()
        };
        assert_eq!((0..100).filter(|_| from("192.0.2.1")).count(), 10);
        assert_eq!((0..100).filter(|_| from("192.0.2.2")).count(), 10);
    }

    fn host(name: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, name.parse().unwrap())])
    }

    #[test]
    fn a_foreign_host_name_is_refused() {
        let (guard, now, me) = (guard(), Instant::now(), "127.0.0.1".parse().unwrap());
        for good in ["localhost:8080", "127.0.0.1", "[::1]:80", "POOL.example:443", "pool.example"] {
            assert!(guard.admit(me, &host(good), now).is_ok(), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80"] {
            let refused = guard.admit(me, &host(bad), now).unwrap_err();
            assert_eq!(refused.0, StatusCode::MISDIRECTED_REQUEST, "{bad}");
        }
        assert!(guard.admit(me, &HeaderMap::new(), now).is_err());
    }

    #[test]
    fn one_address_cannot_crowd_out_another() {
        let (guard, now, head) = (guard(), Instant::now(), host("localhost"));
        let (loud, calm): (IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        let passed = (0..100).filter(|_| guard.admit(loud, &head, now).is_ok()).count();
        assert_eq!(passed, 10);
        assert!(guard.admit("2001:db8::ffff".parse().unwrap(), &head, now).is_err(), "the same /64");
        assert!(guard.admit(calm, &head, now).is_ok());
        assert!(guard.admit(loud, &head, now + Duration::from_millis(250)).is_ok());
    }

    #[test]
    fn many_addresses_do_not_fill_memory() {
        let (guard, now, head) = (guard(), Instant::now(), host("localhost"));
        for number in 0..2 * ADDRESSES as u32 {
            let _ = guard.admit(IpAddr::from(number.to_be_bytes()), &head, now);
        }
        assert!(guard.buckets.lock().len() <= ADDRESSES);
        assert!(guard.admit("9.9.9.9".parse().unwrap(), &head, now + Duration::from_secs(3)).is_ok());
    }
}
