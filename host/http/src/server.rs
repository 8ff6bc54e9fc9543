//! The listener.

use crate::connections;
pub use crate::connections::Times;
use crate::guard::{Guard, GuardOptions};
use crate::{AdminDoor, Source, admin, api};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Instrument;

/// A request has this long to be answered.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Numbers requests of the process, for the log.
static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// How to serve.
#[derive(Debug)]
pub struct HttpOptions {
    /// Where to listen; port 0 for any.
    pub listen: SocketAddr,
    /// A socket that listens there already, of a process whose place this one takes.
    pub socket: Option<std::net::TcpListener>,
    /// Who may ask.
    pub guard: GuardOptions,
    /// The door for admin tokens, if there is to be one.
    pub admin: Option<AdminDoor>,
    /// How long connections may take.
    pub times: Times,
}

/// The server could not start.
#[derive(Debug)]
pub struct HttpError {
    /// Where it was to listen.
    pub listen: SocketAddr,
    /// The system's words.
    pub source: std::io::Error,
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot listen on {} for HTTP: {}; is another process there?", self.listen, self.source)
    }
}

impl std::error::Error for HttpError {}

/// A server that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    socket: std::net::TcpListener,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Lets running requests end, and stops.
    pub async fn stop(self) {
        let _ = self.stop_listening().await;
    }

    /// The same, and gives the listening socket, for another process to go on with.
    pub async fn stop_listening(self) -> std::net::TcpListener {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
        self.socket
    }
}

/// Starts a server over a source.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(options: HttpOptions, source: Arc<dyn Source>) -> Result<Server, HttpError> {
    let listen = options.listen;
    let failed = |source| HttpError { listen, source };
    // Another port of the configuration, and the socket is none of this server's.
    let socket = options
        .socket
        .filter(|socket| socket.local_addr().is_ok_and(|address| address == listen || listen.port() == 0));
    let listener = match socket {
        Some(socket) => TcpListener::from_std(socket).map_err(failed)?,
        None => TcpListener::bind(listen).await.map_err(failed)?,
    };
    let address = listener.local_addr().map_err(failed)?;
    let socket = listener.as_fd().try_clone_to_owned().map_err(failed)?.into();
    let guard = Arc::new(Guard::new(options.guard));
    let admin = options.admin.map_or_else(axum::Router::new, admin::router);
    // The door of commands has a time of its own: what was begun there is done.
    let pages =
        api::router(source).layer(DefaultBodyLimit::max(64 * 1024)).layer(middleware::from_fn(patiently));
    let router = admin.merge(pages).layer(middleware::from_fn_with_state(Arc::clone(&guard), admit));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(connections::serve(listener, router, guard, options.times, stopped));
    Ok(Server { address, socket, stop, task })
}

async fn patiently(request: Request, next: Next) -> Response {
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the answer took too long\n").into_response(),
    }
}

async fn admit(
    State(guard): State<Arc<Guard>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let span = tracing::info_span!(
        "request",
        id = REQUESTS.fetch_add(1, Ordering::Relaxed),
        peer = %from,
        method = %request.method(),
        path = request.uri().path()
    );
    let answered = async {
        let response = match guard.admit(from.ip(), request.headers(), Instant::now()) {
            Err(refused) => refused.into_response(),
            Ok(()) => next.run(request).await,
        };
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    };
    let mut response = answered.instrument(span).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'",
        ),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
