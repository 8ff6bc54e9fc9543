//! JSON-RPC over HTTP with basic authentication, as Bitcoin Core serves it: an error comes with HTTP 500 (404 for an
//! unknown method, 400 for what is no request), and with 200 for callers of JSON-RPC 2.0.

use crate::faults::{Fault, Faults};
use crate::node::Node;
use crate::rpc::{self, Answer, NO_METHOD, Params, RpcError};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The largest request: Core's MAX_SIZE, 32 MiB.
const MAX_BODY: usize = 0x0200_0000;

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    jsonrpc: Option<String>,
    #[serde(default)]
    id: Option<Box<RawValue>>,
    method: String,
    #[serde(default)]
    params: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    jsonrpc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Option<RpcError>>,
    id: Option<Box<RawValue>>,
}

/// Serves until the task is ended. Connections end with it.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>, authorization: Arc<str>, faults: Faults) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let (node, authorization, faults) = (node.clone(), authorization.clone(), faults.clone());
                connections.spawn(async move {
                    let service = service_fn(|request| respond(request, &node, &authorization, &faults));
                    let served = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "an RPC connection ended badly");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    node: &Arc<Node>,
    authorization: &str,
    faults: &Faults,
) -> Result<Response<Full<Bytes>>, HungUp> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given != Some(authorization) {
        let mut response = plain(StatusCode::UNAUTHORIZED, "");
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Basic realm=\"jsonrpc\""));
        return Ok(response);
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "JSONRPC server handles only POST requests"));
    }
    let path = request.uri().path();
    if path != "/" && !path.starts_with("/wallet/") {
        return Ok(plain(StatusCode::NOT_FOUND, ""));
    }
    let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "")),
    };
    if body.trim_ascii_start().starts_with(b"[") {
        return Ok(batch(node, &body).await);
    }
    single(node, &body, faults).await
}

/// A connection that ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the node hangs up, as it was told to")]
struct HungUp;

async fn single(node: &Arc<Node>, body: &[u8], faults: &Faults) -> Result<Response<Full<Bytes>>, HungUp> {
    let (status, reply) = match serde_json::from_slice::<Call>(body) {
        Ok(call) => match faults.of(&call.method).await {
            Some(Fault::HangUp) => return Err(HungUp),
            Some(Fault::Error(code, message)) => replied(call, Err(RpcError::new(code, message))),
            Some(Fault::Result(json)) => replied(call, told(json)),
            Some(Fault::Silence) | None => run(node, call).await,
        },
        Err(_) => malformed(),
    };
    Ok(json(status, &reply))
}

fn told(json: String) -> Answer {
    RawValue::from_string(json).map_err(|error| RpcError::new(rpc::MISC, error.to_string()))
}

/// A batch is answered with 200, whatever is in it.
async fn batch(node: &Arc<Node>, body: &[u8]) -> Response<Full<Bytes>> {
    let Ok(calls) = serde_json::from_slice::<Vec<Box<RawValue>>>(body) else {
        let (status, reply) = malformed();
        return json(status, &reply);
    };
    let mut replies = Vec::with_capacity(calls.len());
    for call in calls {
        replies.push(match serde_json::from_str::<Call>(call.get()) {
            Ok(call) => run(node, call).await.1,
            Err(_) => malformed().1,
        });
    }
    json(StatusCode::OK, &replies)
}

fn malformed() -> (StatusCode, Reply) {
    let error = RpcError::new(-32700, "Parse error");
    let reply = Reply { jsonrpc: None, result: Some(None), error: Some(Some(error)), id: None };
    (StatusCode::INTERNAL_SERVER_ERROR, reply)
}

async fn run(node: &Arc<Node>, call: Call) -> (StatusCode, Reply) {
    let outcome = match Params::read(call.params.as_deref()) {
        Ok(params) => rpc::call(node, &call.method, &params).await,
        Err(error) => Err(error),
    };
    replied(call, outcome)
}

fn replied(call: Call, outcome: Answer) -> (StatusCode, Reply) {
    let second = call.jsonrpc.as_deref() == Some("2.0");
    let status = match &outcome {
        Ok(_) => StatusCode::OK,
        Err(_) if second => StatusCode::OK,
        Err(error) if error.code == NO_METHOD => StatusCode::NOT_FOUND,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // JSON-RPC 2.0 has one of the two members, 1.x both.
    let reply = match (outcome, second) {
        (Ok(result), true) => {
            Reply { jsonrpc: Some("2.0"), result: Some(Some(result)), error: None, id: call.id }
        }
        (Err(error), true) => {
            Reply { jsonrpc: Some("2.0"), result: None, error: Some(Some(error)), id: call.id }
        }
        (Ok(result), false) => {
            Reply { jsonrpc: None, result: Some(Some(result)), error: Some(None), id: call.id }
        }
        (Err(error), false) => {
            Reply { jsonrpc: None, result: Some(None), error: Some(Some(error)), id: call.id }
        }
    };
    (status, reply)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// The `Authorization` header of a user and password (RFC 7617).
pub(crate) fn authorization(user: &str, password: &str) -> Arc<str> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let pair = format!("{user}:{password}");
    let mut text = String::from("Basic ");
    for group in pair.as_bytes().chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            match ALPHABET.get((word >> (18 - 6 * place) & 63) as usize) {
                Some(digit) if place <= group.len() => text.push(char::from(*digit)),
                _ => text.push('='),
            }
        }
    }
    text.into()
}
