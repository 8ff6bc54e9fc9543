//! JSON-RPC over HTTP, as Bitcoin Core and its relatives speak it.
//!
//! An error arrives with HTTP 500 (Bitcoin Core up to JSON-RPC 1.1) or with HTTP 200 (bcoin, JSON-RPC 2.0): the body
//! decides, not the status.

use crate::{CallError, Endpoint, HttpClient, Limits, NodeError};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Characters of a node's message that are kept.
const MAX_MESSAGE: usize = 1000;

/// A JSON-RPC client of one endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JsonRpc {
    http: HttpClient,
    next_id: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    id: serde_json::Value,
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    message: serde_json::Value,
}

/// What a node answered to a call; either is a slice of its body as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text of the `result` member (`null` where the node gave null).
    Result(Bytes),
    /// The text of the `error` member: an object, with some nodes a bare string.
    Error(Bytes),
}

impl JsonRpc {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(endpoint: Endpoint, limits: Limits) -> Result<Self, NodeError> {
        Ok(Self { http: HttpClient::new(endpoint, limits)?, next_id: Arc::new(AtomicU64::new(1)) })
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn at(&self) -> &str {
        self.http.at()
    }

    /// Calls a method. `params` is a JSON array or object, empty for none. The answer is the text of the `result`
    /// member, a slice of the body as it arrived (`null` where the node gave null).
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn call(&self, method: &str, params: &[u8], timeout: Duration) -> Result<Bytes, CallError> {
        self.answer(method, params, timeout).await?.into_result()
    }

    /// As [`JsonRpc::call`], but an error of the node's own is an answer too, and its text is handed on whole.
    ///
    /// # Errors
    /// As [`CallError`] says, without [`CallError::Rpc`].
    pub async fn answer(&self, method: &str, params: &[u8], timeout: Duration) -> Result<Answer, CallError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = request(id, method, params)?;
        let reply = self.http.post("", request, timeout).await?;
        read(self.at(), id, reply.status, &reply.body)
    }

    /// Calls a method and reads its result into a type.
    ///
    /// # Errors
    /// As [`CallError`] says; a result of another shape is [`CallError::Refused`].
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &serde_json::Value,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let result = self.call(method, params.to_string().as_bytes(), timeout).await?;
        serde_json::from_slice(&result).map_err(|error| CallError::Refused {
            at: self.at().into(),
            status: 200,
            why: format!("the result of {method} is not what its documentation says: {error}"),
        })
    }
}

fn request(id: u64, method: &str, params: &[u8]) -> Result<Bytes, CallError> {
    let params = if params.is_empty() { b"[]" } else { params };
    let params: &RawValue = serde_json::from_slice(params)
        .map_err(|error| CallError::Denied(format!("parameters of {method}: {error}")))?;
    if !params.get().starts_with(['[', '{']) {
        return Err(CallError::Denied(format!("parameters of {method} are a JSON array or object")));
    }
    let method = serde_json::to_string(method).map_err(|error| CallError::Denied(error.to_string()))?;
    let text = format!(r#"{{"jsonrpc":"1.0","id":{id},"method":{method},"params":{}}}"#, params.get());
    Ok(Bytes::from(text))
}

impl Answer {
    /// The result, or the node's error as a [`CallError::Rpc`].
    ///
    /// # Errors
    /// The node's own.
    pub fn into_result(self) -> Result<Bytes, CallError> {
        match self {
            Self::Result(text) => Ok(text),
            Self::Error(text) => Err(rpc_error(&String::from_utf8_lossy(&text))),
        }
    }

    /// The text, whichever it is.
    #[must_use]
    pub fn into_text(self) -> Bytes {
        match self {
            Self::Result(text) | Self::Error(text) => text,
        }
    }
}

fn read(at: &str, id: u64, status: u16, body: &Bytes) -> Result<Answer, CallError> {
    let refused = |why: String| CallError::Refused { at: at.into(), status, why };
    if matches!(status, 401 | 403) {
        return Err(refused("user, password or cookie are wrong, or this address is not allowed in".into()));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| match status {
        503 => refused("its work queue is full; ask less often or raise the node's queue".into()),
        200 => refused(format!("the answer is not JSON-RPC: {error}")),
        _ => refused("the answer is not JSON-RPC; is this the node's RPC port?".into()),
    })?;
    if let Some(error) = envelope.error.filter(|error| error.get() != "null") {
        return Ok(Answer::Error(body.slice_ref(error.get().as_bytes())));
    }
    // An answer to another call would be taken for this one's.
    if !envelope.id.is_null() && envelope.id.as_u64() != Some(id) {
        return Err(refused(format!("the answer has the id {} instead of {id}", envelope.id)));
    }
    match envelope.result {
        Some(result) => Ok(Answer::Result(body.slice_ref(result.get().as_bytes()))),
        None if status == 200 => Ok(Answer::Result(Bytes::from_static(b"null"))),
        None => Err(refused("the answer has neither result nor error".into())),
    }
}

fn rpc_error(text: &str) -> CallError {
    let cut = |text: &str| text.chars().take(MAX_MESSAGE).collect::<String>();
    match serde_json::from_str::<ErrorObject>(text) {
        Ok(error) => CallError::Rpc {
            code: error.code.as_i64().unwrap_or(0),
            message: error.message.as_str().map_or_else(|| cut(text), cut),
        },
        // Some nodes answer with a bare string.
        Err(_) => CallError::Rpc { code: 0, message: cut(text) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Result<Bytes, CallError> {
        read("n:1", 7, status, &Bytes::from_static(body.as_bytes()))?.into_result()
    }

    #[test]
    fn an_error_is_handed_on_as_the_node_wrote_it() {
        for error in [r#"{"code":-28, "message":"Loading","more":[1]}"#, r#""busy""#] {
            let body = Bytes::from(format!(r#"{{"result":null,"error":{error},"id":7}}"#));
            assert_eq!(read("n:1", 7, 500, &body), Ok(Answer::Error(Bytes::from(error))));
        }
    }

    #[test]
    fn an_error_is_understood_with_http_500_and_with_200() {
        for status in [500, 200] {
            let error = answer(status, r#"{"result":null,"error":{"code":-8,"message":"segwit"},"id":7}"#)
                .unwrap_err();
            assert_eq!(error, CallError::Rpc { code: -8, message: "segwit".into() });
            assert_eq!((error.kind(), error.code()), (ErrorKind::Rpc, -8));
        }
        let bare = answer(200, r#"{"error":"busy","id":null}"#).unwrap_err();
        assert_eq!(bare, CallError::Rpc { code: 0, message: "\"busy\"".into() });
    }

    use crate::ErrorKind;

    #[test]
    fn the_result_is_the_nodes_own_text() {
        let result = answer(200, r#"{"result": {"a": 1.00000000} ,"error":null,"id":7}"#).unwrap();
        assert_eq!(&result[..], br#"{"a": 1.00000000}"#);
        assert_eq!(&answer(200, r#"{"result":null,"error":null,"id":7}"#).unwrap()[..], b"null");
    }

    #[test]
    fn an_answer_to_another_call_is_refused() {
        assert!(matches!(answer(200, r#"{"result":1,"error":null,"id":8}"#), Err(CallError::Refused { .. })));
    }

    #[test]
    fn what_is_not_json_rpc_says_what_to_look_at() {
        for (status, body) in
            [(401, ""), (403, ""), (404, "not found"), (503, "Work queue depth exceeded"), (200, "{")]
        {
            let error = answer(status, body).unwrap_err();
            assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
        }
        assert!(!answer(401, "").unwrap_err().outcome_unknown());
        assert!(answer(502, "").unwrap_err().outcome_unknown());
    }

    #[test]
    fn a_request_carries_parameters_as_they_are_and_refuses_what_is_not_json() {
        let sent = request(3, "a\"b", br#"[1.50, {"x":[]}]"#).unwrap();
        assert_eq!(&sent[..], br#"{"jsonrpc":"1.0","id":3,"method":"a\"b","params":[1.50, {"x":[]}]}"#);
        assert!(request(3, "a", b"").is_ok());
        for bad in [&b"1"[..], b"[1", b"[],\"method\":\"stop\"", b"\xff"] {
            assert!(matches!(request(3, "a", bad), Err(CallError::Denied(_))));
        }
    }
}
