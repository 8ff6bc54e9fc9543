//! What drivers speak through: JSON-RPC and plain HTTP, with errors that say whether the call may have had an effect.

use crate::WalletError;
use bytes::Bytes;
use millpond_node::{CallError, HttpClient, HttpReply, JsonRpc};
use serde_json::Value;
use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Handle;

/// A JSON-RPC endpoint. Calls block.
pub trait Rpc: Send + Sync {
    /// Calls a method; gives its `result`.
    ///
    /// # Errors
    /// [`WalletError::Refused`] only for the node's own error answer.
    fn call(&self, method: &str, params: Value) -> Result<Value, WalletError>;
}

/// A REST endpoint. Calls block.
pub trait Rest: Send + Sync {
    /// `POST` with a JSON body; status and body of the answer.
    ///
    /// # Errors
    /// When no answer came.
    fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), WalletError>;

    /// `GET`; status and body of the answer.
    ///
    /// # Errors
    /// When no answer came.
    fn get(&self, path: &str) -> Result<(u16, Value), WalletError>;
}

/// The real endpoints, over the clients of `millpond-node`. Must be called from a thread that may block, not from the
/// runtime's own.
#[derive(Clone, Debug)]
pub struct NodeRpc<C> {
    client: C,
    runtime: Handle,
    timeout: Duration,
}

impl<C> NodeRpc<C> {
    /// A client whose calls run on a runtime of several threads and end after `timeout`.
    #[must_use]
    pub fn new(client: C, runtime: Handle, timeout: Duration) -> Self {
        Self { client, runtime, timeout }
    }

    fn wait<T: Send + 'static>(
        &self,
        call: &str,
        future: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, WalletError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // Nobody listens any more when the deadline below has passed: then the outcome is unknown anyway.
            let _ = sender.send(future.await);
        });
        let unknown = |why: &str| WalletError::Unknown { call: call.to_owned(), why: why.to_owned() };
        // The client has its own deadline; this one is for a runtime that shuts down.
        match receiver.recv_timeout(self.timeout.saturating_add(Duration::from_secs(10))) {
            Ok(outcome) => outcome.map_err(|error| of_call(call, &error)),
            Err(_) => Err(unknown("the pool's runtime gave no answer")),
        }
    }
}

fn of_call(call: &str, error: &CallError) -> WalletError {
    let (call, why) = (call.to_owned(), error.to_string());
    match error {
        CallError::Rpc { code, message } => WalletError::Refused { call, why: message.clone(), code: *code },
        _ if error.outcome_unknown() => WalletError::Unknown { call, why },
        _ => WalletError::NotSent { call, why },
    }
}

impl Rpc for NodeRpc<JsonRpc> {
    fn call(&self, method: &str, params: Value) -> Result<Value, WalletError> {
        let (client, timeout, name) = (self.client.clone(), self.timeout, method.to_owned());
        let params = params.to_string();
        let result =
            self.wait(method, async move { client.call(&name, params.as_bytes(), timeout).await })?;
        serde_json::from_slice(&result).map_err(|error| unreadable(method, &error))
    }
}

impl Rest for NodeRpc<HttpClient> {
    fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), WalletError> {
        let (client, timeout, at) = (self.client.clone(), self.timeout, path.to_owned());
        let body = Bytes::from(body.to_string());
        read(path, &self.wait(path, async move { client.post(&at, body, timeout).await })?)
    }

    fn get(&self, path: &str) -> Result<(u16, Value), WalletError> {
        let (client, timeout, at) = (self.client.clone(), self.timeout, path.to_owned());
        read(path, &self.wait(path, async move { client.get(&at, timeout).await })?)
    }
}

fn read(path: &str, reply: &HttpReply) -> Result<(u16, Value), WalletError> {
    if reply.body.is_empty() {
        return Ok((reply.status, Value::Null));
    }
    let body = serde_json::from_slice(&reply.body).map_err(|error| unreadable(path, &error))?;
    Ok((reply.status, body))
}

/// A body that is not JSON says nothing about what was done.
fn unreadable(call: &str, error: &serde_json::Error) -> WalletError {
    WalletError::Unknown { call: call.to_owned(), why: format!("the answer is not JSON: {error}") }
}
