//! The door for tokens: `POST /api/v1/admin` with `Authorization: Bearer`, a JSON body, and never GET.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use millpond_admin::{Answer, Command, Desk, Refused, Tokens};
use parking_lot::Mutex;
use serde::Deserialize;
use std::sync::Arc;

/// The desk and the tokens that open it.
#[derive(Clone, Debug)]
pub struct AdminDoor {
    /// Where commands go.
    pub desk: Arc<Desk>,
    /// Who may give them.
    pub tokens: Arc<Mutex<Tokens>>,
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

async fn take(State(door): State<AdminDoor>, headers: HeaderMap, body: String) -> Response {
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
    let asked: Asked = match serde_json::from_str(&body) {
        Ok(asked) => asked,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &format!("the command is not understood: {why}")),
    };
    let answer = door.desk.take(&actor, scope, asked.ask, asked.code.as_deref()).await;
    let status = match &answer {
        Answer::Done(_) => StatusCode::OK,
        Answer::Confirm { .. } => StatusCode::ACCEPTED,
        Answer::Refused(Refused::Scope { .. }) => StatusCode::FORBIDDEN,
        Answer::Refused(_) => StatusCode::CONFLICT,
    };
    (status, Json(answer)).into_response()
}
