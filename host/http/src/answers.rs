//! Answers to public reads: made on blocking threads, a few at once, and kept for a moment, so that a crowd of readers
//! costs the pool no more than one does and the serving threads wait for nothing.

use crate::Source;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);
/// Answers kept: more are made anew each time.
const KEPT: usize = 512;
/// Answers made at once.
const AT_ONCE: usize = 2;
/// And of those that read much: they take no place of the others, whoever asks for them.
const HEAVY_AT_ONCE: usize = 1;

/// An answer, ready to be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) body: Bytes,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, self.kind)], self.body).into_response()
    }
}

pub(crate) struct Answers {
    source: Arc<dyn Source>,
    kept: Mutex<HashMap<String, (Instant, Answer)>>,
    room: Arc<Semaphore>,
    heavy_room: Arc<Semaphore>,
}

impl Answers {
    pub(crate) fn new(source: Arc<dyn Source>) -> Arc<Self> {
        let places = |count| Arc::new(Semaphore::new(count));
        let (room, heavy_room) = (places(AT_ONCE), places(HEAVY_AT_ONCE));
        Arc::new(Self { source, kept: Mutex::default(), room, heavy_room })
    }

    fn known(&self, key: &str) -> Option<Answer> {
        let kept = self.kept.lock();
        kept.get(key).filter(|(made, _)| made.elapsed() < FRESH).map(|(_, answer)| answer.clone())
    }

    /// Where the answers come from, for what is not kept.
    pub(crate) fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source)
    }

    /// The answer under a key, made if none is fresh. Whoever stops waiting leaves the work to its end, and its place to
    /// nobody before that: a source that hangs takes no more threads than there are places.
    pub(crate) async fn get(
        self: Arc<Self>,
        key: String,
        make: impl FnOnce(&dyn Source) -> Answer + Send + 'static,
    ) -> Response {
        let room = Arc::clone(&self.room);
        self.get_in(room, key, make).await
    }

    /// As [`Answers::get`], for an answer that takes long: none of the usual ones waits for it.
    pub(crate) async fn get_heavy(
        self: Arc<Self>,
        key: String,
        make: impl FnOnce(&dyn Source) -> Answer + Send + 'static,
    ) -> Response {
        let room = Arc::clone(&self.heavy_room);
        self.get_in(room, key, make).await
    }

    async fn get_in(
        self: Arc<Self>,
        room: Arc<Semaphore>,
        key: String,
        make: impl FnOnce(&dyn Source) -> Answer + Send + 'static,
    ) -> Response {
        if let Some(answer) = self.known(&key) {
            return answer.into_response();
        }
        let Ok(place) = room.acquire_owned().await else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        // Whoever was before may have asked for the same.
        if let Some(answer) = self.known(&key) {
            return answer.into_response();
        }
        let made = tokio::task::spawn_blocking(move || {
            let answer = make(self.source.as_ref());
            self.keep(key, &answer);
            drop(place);
            answer
        });
        made.await.map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), Answer::into_response)
    }

    fn keep(&self, key: String, answer: &Answer) {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.retain(|_, (made, _)| made.elapsed() < FRESH);
        }
        if kept.len() < KEPT {
            kept.insert(key, (Instant::now(), answer.clone()));
        }
    }
}
