//! Who may ask, and how often.

use axum::http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Addresses remembered by the limiter; when full, the idle half is forgotten.
const ADDRESSES: usize = 10_000;

/// What the guard checks.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// Names that the Host header may carry, beside loopback's.
    pub hosts: Vec<String>,
    /// Requests a second of one address (IPv6: of one /64); twice as many may come at once.
    pub requests_per_second: u32,
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

    /// Admits a request, or says why not.
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
        let (tokens, last) = buckets.entry(prefix(from)).or_insert((burst, now));
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
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn guard() -> Guard {
        Guard::new(GuardOptions { hosts: vec!["pool.example".into()], requests_per_second: 5 })
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
