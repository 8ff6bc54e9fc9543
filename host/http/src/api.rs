//! The routes.

use crate::answers::{Answer, Answers};
use crate::{Source, metrics, openapi, page};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use millpond_pool::STATEMENT_ROWS;
use millpond_pool::proofs::{MOST_HEADS, NoStatement};
use millpond_pool::receipts::NoReceipts;
use millpond_pool::settings::SettingRefused;
use millpond_pool::view::SettingChange;
use millpond_types::Amount;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

type Shared = State<Arc<Answers>>;

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
        .route("/api/v1/alarms", get(alarms))
        .route("/api/v1/pools", get(pools))
        .route("/api/v1/pools/{pool}", get(pool))
        .route("/api/v1/pools/{pool}/blocks", get(blocks))
        .route("/api/v1/pools/{pool}/payments", get(payments))
        .route("/api/v1/pools/{pool}/payments/{payment}", get(payment))
        .route("/api/v1/pools/{pool}/miners", get(miners))
        .route("/api/v1/pools/{pool}/miners/{address}", get(miner))
        .route("/api/v1/pools/{pool}/miners/{address}/entries", get(entries))
        .route("/api/v1/pools/{pool}/miners/{address}/statement", get(statement))
        .route("/api/v1/pools/{pool}/miners/{address}/statements/{seq}", get(document))
        .route("/api/v1/pools/{pool}/miners/{address}/receipts", get(receipts))
        .route("/api/v1/pools/{pool}/heads", get(heads))
        .route("/api/v1/pools/{pool}/heads/latest", get(newest_head))
        .route("/api/v1/pools/{pool}/heads/consistency", get(consistency))
        .route("/api/v1/pools/{pool}/heads/{number}", get(head))
        .route("/api/v1/pools/{pool}/miners/{address}/shadow", get(miner_shadows))
        .route("/api/v1/pools/{pool}/shadow", get(shadows))
        .route("/api/v1/pools/{pool}/miners/{address}/settings", settings)
        .fallback(|| async { missing("there is no such page; /openapi.json lists what there is") })
        .with_state(Answers::new(source))
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

/// A page of a list that grows at its front: what comes before the last row of the page before.
#[derive(Deserialize)]
struct Page<Cursor> {
    limit: Option<usize>,
    before: Option<Cursor>,
}

/// A page of a ranking.
#[derive(Deserialize)]
struct Ranks {
    limit: Option<usize>,
    skip: Option<usize>,
}

fn rows(limit: Option<usize>) -> usize {
    limit.unwrap_or(ROWS).min(MOST_ROWS)
}

fn text(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn missing(error: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(Problem { error })).into_response()
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => Answer { status, kind: "application/json", body: body.into() },
        Err(why) => {
            tracing::error!(%why, "an answer could not be written");
            let body = &br#"{"error":"the answer could not be written; the log says why"}"#[..];
            Answer { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "application/json", body: body.into() }
        }
    }
}

fn found<T: Serialize>(value: Option<T>, error: &str) -> Answer {
    value
        .map_or_else(|| json(StatusCode::NOT_FOUND, &Problem { error }), |value| json(StatusCode::OK, &value))
}

const NO_POOL: &str = "there is no pool of this name; /api/v1/pools lists them";

async fn alarms(State(answers): Shared) -> Response {
    answers.get("alarms".to_owned(), |source| json(StatusCode::OK, &source.alarms())).await
}

async fn pools(State(answers): Shared) -> Response {
    answers.get("pools".to_owned(), |source| json(StatusCode::OK, &source.pools())).await
}

async fn ready(State(answers): Shared) -> Response {
    let make = |source: &dyn Source| {
        let pools = source.pools();
        let reasons: Vec<String> = pools
            .iter()
            .flat_map(|pool| pool.not_ready.iter().map(move |reason| format!("{}: {reason}", pool.name)))
            .collect();
        let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &Ready { ready: reasons.is_empty(), reasons })
    };
    answers.get("ready".to_owned(), make).await
}

async fn prometheus(State(answers): Shared) -> Response {
    let make = |source: &dyn Source| {
        let body = metrics::render(&source.pools(), &source.contexts(), &source.alarms()).into();
        Answer { status: StatusCode::OK, kind: "text/plain; version=0.0.4; charset=utf-8", body }
    };
    answers.get("metrics".to_owned(), make).await
}

async fn pool(State(answers): Shared, Path(name): Path<String>) -> Response {
    let key = format!("pool/{name}");
    let make =
        move |source: &dyn Source| found(source.pools().into_iter().find(|pool| pool.name == name), NO_POOL);
    answers.get(key, make).await
}

async fn blocks(
    State(answers): Shared,
    Path(name): Path<String>,
    Query(page): Query<Page<String>>,
) -> Response {
    let (rows, before) = (rows(page.limit), page.before);
    let key = format!("blocks/{rows}/{before:?}/{name}");
    answers.get(key, move |source| found(source.blocks(&name, before.as_deref(), rows), NO_POOL)).await
}

async fn payments(
    State(answers): Shared,
    Path(name): Path<String>,
    Query(page): Query<Page<u64>>,
) -> Response {
    let (rows, before) = (rows(page.limit), page.before);
    let key = format!("payments/{rows}/{before:?}/{name}");
    answers.get(key, move |source| found(source.payments(&name, before, rows), NO_POOL)).await
}

async fn payment(State(answers): Shared, Path((name, payment)): Path<(String, u64)>) -> Response {
    let key = format!("payment/{payment}/{name}");
    let make = move |source: &dyn Source| {
        found(source.payment(&name, payment), "there is no pool of this name, or no such payment of it")
    };
    answers.get(key, make).await
}

async fn miners(State(answers): Shared, Path(name): Path<String>, Query(ranks): Query<Ranks>) -> Response {
    let (rows, skip) = (rows(ranks.limit), ranks.skip.unwrap_or(0));
    let key = format!("miners/{rows}/{skip}/{name}");
    answers.get(key, move |source| found(source.miners(&name, skip, rows), NO_POOL)).await
}

async fn miner(State(answers): Shared, Path((name, address)): Path<(String, String)>) -> Response {
    let key = format!("miner/{name}/{address}");
    let make = move |source: &dyn Source| {
        found(source.miner(&name, &address), "no miner of this address has mined here")
    };
    answers.get(key, make).await
}

async fn entries(
    State(answers): Shared,
    Path((name, address)): Path<(String, String)>,
    Query(page): Query<Page<u64>>,
) -> Response {
    let (rows, before) = (rows(page.limit), page.before);
    let key = format!("entries/{rows}/{before:?}/{name}/{address}");
    let make = move |source: &dyn Source| {
        let error = "no miner of this address has mined here, or the pool's index is being mended";
        found(source.entries(&name, &address, before, rows), error)
    };
    answers.get(key, make).await
}

async fn statement(
    State(answers): Shared,
    Path((name, address)): Path<(String, String)>,
    Query(page): Query<Page<u64>>,
) -> Response {
    let (rows, before) = (page.limit.unwrap_or(STATEMENT_ROWS).min(STATEMENT_ROWS), page.before);
    let key = format!("statement/{rows}/{before:?}/{name}/{address}");
    let make = move |source: &dyn Source| {
        let error = "no miner of this address has mined here, or the pool's index is being mended";
        found(source.statement(&name, &address, before, rows), error)
    };
    answers.get_heavy(key, make).await
}

async fn document(
    State(answers): Shared,
    Path((name, address, seq)): Path<(String, String, u64)>,
) -> Response {
    let key = format!("document/{seq}/{name}/{address}");
    let make = move |source: &dyn Source| match source.document(&name, &address, seq) {
        None => json(StatusCode::NOT_FOUND, &Problem { error: NO_POOL }),
        Some(Ok(document)) => json(StatusCode::OK, &document),
        Some(Err(why)) => {
            let status = match why {
                NoStatement::Stranger | NoStatement::NoEntry | NoStatement::NotInIt => StatusCode::NOT_FOUND,
                NoStatement::Gone => StatusCode::GONE,
                NoStatement::NotSigned | NoStatement::Off => StatusCode::SERVICE_UNAVAILABLE,
            };
            json(status, &Problem { error: &why.to_string() })
        }
    };
    answers.get_heavy(key, make).await
}

async fn receipts(State(answers): Shared, Path((name, address)): Path<(String, String)>) -> Response {
    let key = format!("receipts/{name}/{address}");
    let make = move |source: &dyn Source| match source.receipts(&name, &address) {
        None => json(StatusCode::NOT_FOUND, &Problem { error: NO_POOL }),
        Some(Ok(receipts)) => json(StatusCode::OK, &receipts),
        Some(Err(why)) => {
            let status = match why {
                NoReceipts::Stranger => StatusCode::NOT_FOUND,
                NoReceipts::Off | NoReceipts::Full => StatusCode::SERVICE_UNAVAILABLE,
            };
            json(status, &Problem { error: &why.to_string() })
        }
    };
    answers.get(key, make).await
}

async fn heads(State(answers): Shared, Path(name): Path<String>, Query(page): Query<Page<u64>>) -> Response {
    let (rows, before) = (page.limit.unwrap_or(MOST_HEADS).min(MOST_HEADS), page.before);
    let key = format!("heads/{rows}/{before:?}/{name}");
    answers.get_heavy(key, move |source| found(source.heads(&name, before, rows), NO_POOL)).await
}

const NO_HEAD: &str = "there is no pool of this name, or it has no such head";

async fn newest_head(State(answers): Shared, Path(name): Path<String>) -> Response {
    let key = format!("head/latest/{name}");
    let make = move |source: &dyn Source| {
        if source.heads_are_held(&name) {
            let error = "the pool was restored from a backup and has published newer heads than it knows: ask again later";
            return json(StatusCode::SERVICE_UNAVAILABLE, &Problem { error });
        }
        found(source.head(&name, None), NO_HEAD)
    };
    answers.get(key, make).await
}

async fn head(State(answers): Shared, Path((name, number)): Path<(String, u64)>) -> Response {
    let key = format!("head/{number}/{name}");
    answers.get_heavy(key, move |source| found(source.head(&name, Some(number)), NO_HEAD)).await
}

/// Sizes of two histories.
#[derive(Deserialize)]
struct Sizes {
    from: u64,
    to: u64,
}

async fn consistency(
    State(answers): Shared,
    Path(name): Path<String>,
    Query(Sizes { from, to }): Query<Sizes>,
) -> Response {
    let key = format!("consistency/{from}/{to}/{name}");
    let make = move |source: &dyn Source| {
        let error =
            "there is no pool of this name, or its newest head has fewer entries, or from is above to";
        found(source.consistency(&name, from, to), error)
    };
    answers.get(key, make).await
}

async fn shadows(
    State(answers): Shared,
    Path(name): Path<String>,
    Query(page): Query<Page<u64>>,
) -> Response {
    let rows = rows(page.limit);
    let key = format!("shadow/{rows}/{name}");
    answers.get(key, move |source| found(source.shadows(&name, rows), NO_POOL)).await
}

async fn miner_shadows(State(answers): Shared, Path((name, address)): Path<(String, String)>) -> Response {
    let key = format!("shadow-of/{name}/{address}");
    let make = move |source: &dyn Source| {
        found(source.miner_shadows(&name, &address), "no miner of this address has mined here")
    };
    answers.get(key, make).await
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
        SettingRefused::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        SettingRefused::Signature(_) | SettingRefused::Held(_) => StatusCode::FORBIDDEN,
        SettingRefused::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, &refused.to_string())
}

/// Asks for something that is not kept. On a blocking thread: it may wait for the disk.
async fn ask<T: Serialize + Send + 'static>(
    answers: &Answers,
    ask: impl FnOnce(&dyn Source) -> Option<Result<T, SettingRefused>> + Send + 'static,
) -> Response {
    let source = answers.source();
    tokio::task::spawn_blocking(move || ask(source.as_ref())).await.map_or_else(
        |_| problem(StatusCode::INTERNAL_SERVER_ERROR, "it could not be done; try again"),
        settled,
    )
}

async fn setting_text(
    State(answers): Shared,
    Path((name, address)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    match asked {
        Ok(Query(asked)) => {
            let minimum = asked.minimum_payout.map(Amount);
            ask(&answers, move |source| source.setting_text(&name, &address, minimum)).await
        }
        Err(why) => problem(why.status(), &why.body_text()),
    }
}

async fn change_setting(
    State(answers): Shared,
    Path((name, address)): Path<(String, String)>,
    change: Result<Json<SettingChange>, JsonRejection>,
) -> Response {
    let change = match change {
        Ok(Json(change)) => change,
        Err(why) => return problem(why.status(), &why.body_text()),
    };
    ask(&answers, move |source| source.change_setting(&name, &address, &change)).await
}
