//! The door for tokens: `POST /api/v1/admin` with `Authorization: Bearer`, a JSON body, and never GET.
//!
//! A command that was begun is done to its end, whether its caller still waits or not: half a reload, or a payment run that
//! nobody hears of, would be worse than a slow one.

use crate::server::PATIENCE;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use millpond_admin::{Answer, Command, Desk, Refused, Tokens};
use parking_lot::Mutex;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::Instrument;

/// The largest command.
const LARGEST: usize = 64 * 1024;

/// The desk and the tokens that open it.
#[derive(Clone, Debug)]
pub struct AdminDoor {
    /// Where commands go.
    pub desk: Arc<Desk>,
    /// Who may give them.
    pub tokens: Arc<Mutex<Tokens>>,
    /// A caller is answered after this long at the latest; what he ordered goes on.
    pub patience: Duration,
    /// Places of commands that are being done: each may hold a thread for as long as a wallet takes.
    pub room: Arc<Semaphore>,
}

impl AdminDoor {
    /// How long a caller of a usual door waits: longer than a wallet's call or an adapter that is to lead.
    pub const PATIENCE: Duration = Duration::from_secs(120);
    /// Commands at a time of a usual door.
    pub const ROOM: usize = 8;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    ask: Command,
    #[serde(default)]
    code: Option<String>,
}

pub(crate) fn router(door: AdminDoor) -> Router {
    Router::new().route("/api/v1/admin", post(take)).with_state(door)
}

/// The body of a request, if it comes in time and is not too large.
async fn body(request: Request) -> Result<Bytes, StatusCode> {
    match timeout(PATIENCE, to_bytes(request.into_body(), LARGEST)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

async fn take(State(door): State<AdminDoor>, headers: HeaderMap, request: Request) -> Response {
    let refuse = |status: StatusCode, why: &str| {
        (status, Json(Answer::Refused(Refused::Failed(why.to_owned())))).into_response()
    };
    let json = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    // A form of a foreign page cannot send this type without asking first.
    if json.split(';').next().map(str::trim) != Some("application/json") {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json");
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    const NEEDED: &str = "this needs a token: `millpond token make NAME SCOPE`";
    let Some(token) = token.map(str::to_owned) else { return refuse(StatusCode::UNAUTHORIZED, NEEDED) };
    let tokens = Arc::clone(&door.tokens);
    let known = tokio::task::spawn_blocking(move || {
        let mut tokens = tokens.lock();
        // Read each time, so that a token counts from when it was made and ends when it is revoked.
        tokens.reread()?;
        Ok(tokens.find(&token).map(|token| (format!("token:{}", token.name), token.scope)))
    });
    let (actor, scope) = match known.await {
        Ok(Ok(Some(known))) => known,
        Ok(Ok(None)) => return refuse(StatusCode::UNAUTHORIZED, NEEDED),
        Ok(Err(why)) => {
            let why: millpond_admin::TokensError = why;
            tracing::error!(%why, "the tokens cannot be read");
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string());
        }
        Err(_) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the tokens could not be looked at"),
    };
    let body = match body(request).await {
        Ok(body) => body,
        Err(status) => return refuse(status, "the command did not come, or is too large"),
    };
    let asked: Asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &format!("the command is not understood: {why}")),
    };
    let Ok(place) = Arc::clone(&door.room).try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "so many commands are under way; try again later");
    };
    let desk = Arc::clone(&door.desk);
    // A task of its own: a caller who hangs up, or waits too long, takes nothing back.
    let work = async move {
        let answer = desk.take(&actor, scope, asked.ask, asked.code.as_deref()).await;
        drop(place);
        answer
    };
    let mut work = tokio::spawn(work.in_current_span());
    let answer = match timeout(door.patience, &mut work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => {
            tracing::error!(%why, "a command broke off");
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the command broke off; see the log");
        }
        Err(_) => {
            tokio::spawn(tell_of(work).in_current_span());
            Answer::Underway(format!(
                "it takes longer than {} s and goes on: the log says how it ends; do not order it again before",
                door.patience.as_secs()
            ))
        }
    };
    let status = match &answer {
        Answer::Done(_) => StatusCode::OK,
        Answer::Confirm { .. } => StatusCode::ACCEPTED,
        Answer::Refused(Refused::Scope { .. }) => StatusCode::FORBIDDEN,
        Answer::Refused(_) => StatusCode::CONFLICT,
        Answer::Underway(_) => StatusCode::GATEWAY_TIMEOUT,
    };
    (status, Json(answer)).into_response()
}

/// Logs the end of a command whose caller has his answer.
async fn tell_of(work: tokio::task::JoinHandle<Answer>) {
    match work.await {
        Ok(Answer::Refused(why)) => tracing::warn!(%why, "a command that took long was not done"),
        Ok(_) => tracing::info!("a command that took long is done"),
        Err(why) => tracing::error!(%why, "a command that took long broke off"),
    }
}
