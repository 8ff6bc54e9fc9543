//! One HTTP request with a deadline and a limit on size.

use crate::secret::Credentials;
use crate::{Auth, CallError, NodeError};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use millpond_types::UnixMillis;
use std::time::Duration;

/// Where a node listens and how it is opened.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://host:port` with an optional path. Credentials do not belong into it.
    pub url: String,
    /// What is sent to be let in.
    pub auth: Auth,
}

/// Limits of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, either way. A template with 4 MB of witness-heavy transactions is about 10 MB of JSON; the
    /// default is 32 MiB.
    pub body: usize,
    /// The longest time that setting up a connection may take; the default is 5 s.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 32 * 1024 * 1024, connect: Duration::from_secs(5) }
    }
}

/// What an HTTP server answered, of whatever status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
    /// What time it is by the server's clock, to the second, when it says so in the form of RFC 9110.
    pub date: Option<UnixMillis>,
}

/// A client of one HTTP server. Cheap to clone; clones share idle connections. A request that waits long (a longpoll)
/// holds a connection of its own, since HTTP/1.1 has one request at a time on each.
#[derive(Clone, Debug)]
pub struct HttpClient {
    base: Uri,
    at: String,
    credentials: Credentials,
    limits: Limits,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl HttpClient {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// When the address is not `http://host:port[/path]`.
    pub fn new(endpoint: Endpoint, limits: Limits) -> Result<Self, NodeError> {
        let base = http_address(&endpoint.url)?;
        let at = base.authority().map(ToString::to_string).unwrap_or_default();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Node.js servers (bcoin) close idle connections after 5 s, Bitcoin Core after 30 s; we do it earlier, so that no
            // call meets a connection that is just being closed.
            .pool_idle_timeout(Duration::from_secs(4))
            .pool_max_idle_per_host(8)
            .build(connector);
        Ok(Self { base, at, credentials: Credentials::new(endpoint.auth), limits, client })
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    /// `POST` with a JSON body. `path` is appended to the endpoint's own path; empty for none.
    ///
    /// # Errors
    /// As [`CallError`] says; an answer of whatever status is not an error here.
    pub async fn post(&self, path: &str, json: Bytes, timeout: Duration) -> Result<HttpReply, CallError> {
        self.request(Method::POST, path, json, timeout).await
    }

    /// `GET`. `path` is appended to the endpoint's own path and may carry a query.
    ///
    /// # Errors
    /// As [`CallError`] says; an answer of whatever status is not an error here.
    pub async fn get(&self, path: &str, timeout: Duration) -> Result<HttpReply, CallError> {
        self.request(Method::GET, path, Bytes::new(), timeout).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<HttpReply, CallError> {
        if body.len() > self.limits.body {
            return Err(CallError::TooLarge { at: self.at.clone(), limit: self.limits.body });
        }
        let attempt = async {
            let reply = self.once(&method, path, body.clone()).await?;
            // A restarted node has written a new cookie. A refused request was not carried out, so it may be sent again.
            if reply.status == 401 && self.credentials.forget() {
                return self.once(&method, path, body).await;
            }
            Ok(reply)
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                Err(CallError::Timeout { at: self.at.clone(), ms })
            }
        }
    }

    async fn once(&self, method: &Method, path: &str, body: Bytes) -> Result<HttpReply, CallError> {
        let mut request = Request::builder().method(method).uri(self.uri(path)?);
        if *method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(secret) = self.credentials.header().await? {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| CallError::Denied("the secret has characters that HTTP cannot carry".into()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| CallError::Denied(format!("the request cannot be built: {error}")))?;
        let reply = self.client.request(request).await.map_err(|error| self.failed(&error))?;
        let status = reply.status().as_u16();
        let date = reply.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
        Ok(HttpReply { status, body: self.read(reply.into_body()).await?, date })
    }

    /// A body in one piece, put together while it comes: a template is megabytes, and miners wait for its last byte.
    async fn read(&self, mut body: Incoming) -> Result<Bytes, CallError> {
        let limit = self.limits.body;
        let too_large = || CallError::TooLarge { at: self.at.clone(), limit };
        let said =
            body.size_hint().exact().map_or(Ok(0), |said| usize::try_from(said).map_err(|_| too_large()))?;
        if said > limit {
            return Err(too_large());
        }
        let mut whole = BytesMut::with_capacity(said);
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|why| CallError::Broken { at: self.at.clone(), why: why.to_string() })?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len().saturating_add(data.len()) > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    fn failed(&self, error: &hyper_util::client::legacy::Error) -> CallError {
        let why = innermost(error);
        if error.is_connect() {
            CallError::Unreachable { at: self.at.clone(), why }
        } else {
            CallError::Broken { at: self.at.clone(), why }
        }
    }

    fn uri(&self, path: &str) -> Result<Uri, CallError> {
        if path.is_empty() {
            return Ok(self.base.clone());
        }
        let fault = || CallError::Denied(format!("{path:?} is not a path"));
        let joined = format!("{}/{}", self.base.path().trim_end_matches('/'), path.trim_start_matches('/'));
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(joined.parse().map_err(|_| fault())?);
        Uri::from_parts(parts).map_err(|_| fault())
    }
}

/// A date as HTTP writes it (IMF-fixdate, RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<UnixMillis> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|part| *part < 61));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") {
        return None;
    }
    // Days from 1970 by the civil calendar, with years that begin in March, so that a leap day is a year's last.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(UnixMillis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
}

/// The cause at the bottom of an error, which is what tells an operator something ("connection refused").
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn http_address(url: &str) -> Result<Uri, NodeError> {
    // The address itself may hold a secret by mistake: it is not repeated then.
    let fault =
        |why| NodeError::Address { address: if url.contains('@') { "…".into() } else { url.into() }, why };
    if url.contains('@') {
        return Err(fault("user and password do not belong into an address; give them as credentials"));
    }
    let uri: Uri = url.parse().map_err(|_| fault("http://host:port is expected"))?;
    match uri.scheme_str() {
        Some("http") if uri.authority().is_some_and(|authority| authority.port_u16().is_some()) => Ok(uri),
        Some("http") => Err(fault("the port is missing: http://host:port is expected")),
        Some("https") => {
            Err(fault("TLS to nodes is not there; run the node on this machine or tunnel to it"))
        }
        _ => Err(fault("http://host:port is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<HttpClient, NodeError> {
        HttpClient::new(Endpoint { url: url.into(), auth: Auth::None }, Limits::default())
    }

    #[test]
    fn an_address_with_a_password_in_it_is_refused_without_repeating_it() {
        let error = client("http://x:hunter2@127.0.0.1:8332").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn addresses_that_cannot_be_used_say_what_is_expected() {
        for bad in
            ["127.0.0.1:8332", "http://127.0.0.1", "https://127.0.0.1:8332", "ftp://a:1", "http://a b:1", ""]
        {
            assert!(client(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_joined_to_the_endpoints_own() {
        let client = client("http://127.0.0.1:1/wallet/a").unwrap();
        assert_eq!(client.uri("/b?c=1").unwrap().to_string(), "http://127.0.0.1:1/wallet/a/b?c=1");
        assert_eq!(client.uri("").unwrap().to_string(), "http://127.0.0.1:1/wallet/a");
        assert!(client.uri("a b").is_err());
    }

    #[test]
    fn a_servers_date_is_read_as_http_writes_it() {
        let seconds = |text: &str| http_date(text).map(|date| date.0 / 1000);
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for bad in ["", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 6", "06 Nov 1994"]
        {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_nothing_was_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let client = client(&format!("http://127.0.0.1:{port}")).unwrap();
        let error = client.get("", Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
        assert!(!error.outcome_unknown());
    }
}
