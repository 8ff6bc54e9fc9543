//! Connections: how many there may be, and how long each may take. They share the process's descriptors with miners, who
//! come first.

use crate::AdminDoor;
use crate::guard::{Guard, prefix};
use crate::server::PATIENCE;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Descriptors that are not shares' are reckoned with as 256 (`millpond doctor`): these are most of them.
pub(crate) const ALL: usize = 192;
/// Of one address (IPv6: of one /64), unless it is a proxy's or this machine's own. A browser opens six.
pub(crate) const OF_ONE: usize = 24;
/// Longer than the pages' own pause between two questions.
const HEAD: Duration = Duration::from_secs(20);
/// A page that is open for longer connects again.
const LIFE: Duration = Duration::from_secs(600);
/// An accept that fails (no descriptor is free) is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The head of a request has to come in this time, the first one and each after.
    pub head: Duration,
    /// A connection may live for so long, whatever it does.
    pub life: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { head: HEAD, life: LIFE }
    }
}

/// Open connections by source.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<IpAddr, usize>>);

/// A place among them; given back when it is dropped.
struct Place {
    open: Arc<Open>,
    source: IpAddr,
}

impl Open {
    fn take(self: &Arc<Self>, source: IpAddr, most: usize) -> Option<Place> {
        let mut open = self.0.lock();
        let all: usize = open.values().sum();
        let here = open.entry(source).or_default();
        if all >= ALL || *here >= most {
            if *here == 0 {
                open.remove(&source);
            }
            return None;
        }
        *here += 1;
        Some(Place { open: Arc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.lock();
        if let Some(here) = open.get_mut(&self.source) {
            *here -= 1;
            if *here == 0 {
                open.remove(&self.source);
            }
        }
    }
}

/// Serves until told to stop; then lets running requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    guard: Arc<Guard>,
    times: Times,
    mut stopped: watch::Receiver<bool>,
) {
    let (open, mut running, told) = (Arc::new(Open::default()), JoinSet::new(), stopped.clone());
    loop {
        tokio::select! {
            () = until_stopped(&mut stopped) => break,
            Some(_) = running.join_next() => {}
            accepted = listener.accept() => {
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(why) => {
                        tracing::warn!(%why, "an HTTP connection could not be accepted");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                let most = if guard.stands_for_others(peer.ip()) { ALL } else { OF_ONE };
                let Some(place) = open.take(prefix(peer.ip()), most) else {
                    tracing::debug!(%peer, "too many HTTP connections: this one is closed");
                    continue;
                };
                let (router, stopped) = (router.clone(), told.clone());
                running.spawn(async move {
                    one(stream, peer, router, times, stopped).await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    // Each of them heard of it too, and ends with its request.
    let _ = timeout(PATIENCE, async { while running.join_next().await.is_some() {} }).await;
}

async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped: the same as being told to stop.
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn one(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    times: Times,
    mut stopped: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let _ = stream.set_nodelay(true);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => {
            if let Err(why) = ended {
                tracing::debug!(%peer, %why, "an HTTP connection ended badly");
            }
            return;
        }
        () = sleep(times.life) => {}
        () = until_stopped(&mut stopped) => {}
    }
    // The request that is being answered is answered, for as long as the slowest door takes; a reader who does not read
    // loses the rest.
    serving.as_mut().graceful_shutdown();
    let _ = timeout(AdminDoor::PATIENCE.saturating_add(PATIENCE), serving).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_every_place_and_a_place_is_given_back() {
        let open = Arc::new(Open::default());
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut places: Vec<_> = (0..OF_ONE).map(|_| open.take(one, OF_ONE).unwrap()).collect();
        assert!(open.take(one, OF_ONE).is_none());
        assert!(open.take(other, OF_ONE).is_some(), "and is given back at once");
        places.pop();
        places.push(open.take(one, OF_ONE).unwrap());
        drop(places);
        assert!(open.0.lock().is_empty());
        let all: Vec<_> = (0..ALL).map(|_| open.take(one, ALL).unwrap()).collect();
        assert!(open.take(other, ALL).is_none());
        drop(all);
        assert!(open.take(other, ALL).is_some());
    }
}
