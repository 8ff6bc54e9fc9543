//! The routes.

use crate::{Source, metrics, openapi, page};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use millpond_pool::settings::SettingRefused;
use millpond_pool::view::SettingChange;
use millpond_types::Amount;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

type Shared = State<Arc<dyn Source>>;

/// Rows given when none is asked for, and at most.
const ROWS: usize = 100;
const MOST_ROWS: usize = 1_000;
/// Bytes of a signed change of settings.
const LARGEST_CHANGE: usize = 4 * 1024;

pub(crate) fn router(source: Arc<dyn Source>) -> Router {
    let settings = get(setting_text).post(change_setting).layer(DefaultBodyLimit::max(LARGEST_CHANGE));
    Router::new()
        .route("/", get(|| async { text("text/html; charset=utf-8", page::HTML) }))
        .route("/page.css", get(|| async { text("text/css; charset=utf-8", page::CSS) }))
        .route("/page.js", get(|| async { text("text/javascript; charset=utf-8", page::JS) }))
        .route("/openapi.json", get(|| async { Json(openapi::document()) }))
        .route("/health", get(|| async { Json(Health { status: "ok" }) }))
        .route("/ready", get(ready))
        .route("/metrics", get(prometheus))
        .route("/api/v1/alarms", get(|State(source): Shared| async move { Json(source.alarms()) }))
        .route("/api/v1/pools", get(|State(source): Shared| async move { Json(source.pools()) }))
        .route("/api/v1/pools/{pool}", get(pool))
        .route("/api/v1/pools/{pool}/blocks", get(blocks))
        .route("/api/v1/pools/{pool}/payments", get(payments))
        .route("/api/v1/pools/{pool}/miners", get(miners))
        .route("/api/v1/pools/{pool}/miners/{address}", get(miner))
        .route("/api/v1/pools/{pool}/miners/{address}/settings", settings)
        .fallback(|| async { missing("there is no such page; /openapi.json lists what there is") })
        .with_state(source)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

impl Page {
    fn rows(&self) -> usize {
        self.limit.unwrap_or(ROWS).min(MOST_ROWS)
    }
}

fn text(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn missing(error: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(Problem { error })).into_response()
}

fn found<T: Serialize>(value: Option<T>, error: &str) -> Response {
    value.map_or_else(|| missing(error), |value| Json(value).into_response())
}

const NO_POOL: &str = "there is no pool of this name; /api/v1/pools lists them";

async fn ready(State(source): Shared) -> Response {
    let pools = source.pools();
    let reasons: Vec<String> = pools
        .iter()
        .flat_map(|pool| pool.not_ready.iter().map(move |reason| format!("{}: {reason}", pool.name)))
        .collect();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready: reasons.is_empty(), reasons })).into_response()
}

async fn prometheus(State(source): Shared) -> Response {
    let body = metrics::render(&source.pools(), &source.alarms());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

async fn pool(State(source): Shared, Path(name): Path<String>) -> Response {
    found(source.pools().into_iter().find(|pool| pool.name == name), NO_POOL)
}

async fn blocks(State(source): Shared, Path(name): Path<String>, Query(page): Query<Page>) -> Response {
    found(source.blocks(&name, page.rows()), NO_POOL)
}

async fn payments(State(source): Shared, Path(name): Path<String>, Query(page): Query<Page>) -> Response {
    found(source.payments(&name, page.rows()), NO_POOL)
}

async fn miners(State(source): Shared, Path(name): Path<String>, Query(page): Query<Page>) -> Response {
    found(source.miners(&name, page.rows()), NO_POOL)
}

async fn miner(State(source): Shared, Path((name, address)): Path<(String, String)>) -> Response {
    found(source.miner(&name, &address), "no miner of this address has mined here")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    minimum_payout: Option<u64>,
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(Problem { error })).into_response()
}

/// What became of a request about a miner's settings.
fn settled<T: Serialize>(answer: Option<Result<T, SettingRefused>>) -> Response {
    let refused = match answer {
        None => return missing(NO_POOL),
        Some(Ok(done)) => return Json(done).into_response(),
        Some(Err(refused)) => refused,
    };
    let status = match &refused {
        SettingRefused::NoMiner => StatusCode::NOT_FOUND,
        SettingRefused::Unsupported => StatusCode::NOT_IMPLEMENTED,
        SettingRefused::Bounds { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        SettingRefused::Expired(_) => StatusCode::GONE,
        SettingRefused::Used => StatusCode::CONFLICT,
        SettingRefused::Signature(_) => StatusCode::FORBIDDEN,
        SettingRefused::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, &refused.to_string())
}

async fn setting_text(
    State(source): Shared,
    Path((name, address)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    match asked {
        Ok(Query(asked)) => settled(source.setting_text(&name, &address, asked.minimum_payout.map(Amount))),
        Err(why) => problem(why.status(), &why.body_text()),
    }
}

async fn change_setting(
    State(source): Shared,
    Path((name, address)): Path<(String, String)>,
    change: Result<Json<SettingChange>, JsonRejection>,
) -> Response {
    let change = match change {
        Ok(Json(change)) => change,
        Err(why) => return problem(why.status(), &why.body_text()),
    };
    let done = tokio::task::spawn_blocking(move || source.change_setting(&name, &address, &change)).await;
    done.map_or_else(
        |_| problem(StatusCode::INTERNAL_SERVER_ERROR, "the change could not be made; try again"),
        settled,
    )
}
