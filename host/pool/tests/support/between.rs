//! A node's RPC that passes everything on, changes answers while it lies, and keeps templates back while it is slow.

use millpond_devchain::DevChain;
use millpond_node::{Auth, CallError, Endpoint, JsonRpc, Limits, Secret};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it says: given the call's method and parameters, and the node's answer to change. It may also answer without
/// asking the node, for which it is called first, without an answer.
pub type Lie = fn(&str, &Value, Option<&mut Value>) -> Option<Value>;

/// The node, the lie, and its switches.
#[derive(Clone)]
pub struct Between {
    node: JsonRpc,
    lie: Lie,
    /// It lies.
    pub lies: Arc<AtomicBool>,
    /// It keeps its templates back.
    pub slow: Arc<AtomicBool>,
}

impl Between {
    /// Stands before a chain's node.
    pub async fn start(chain: &DevChain, lie: Lie) -> (SocketAddr, Self) {
        let auth = Auth::Basic { user: chain.user().to_owned(), password: Secret::new(chain.password()) };
        let node = JsonRpc::new(Endpoint { url: chain.url(), auth }, Limits::default()).unwrap();
        let between = Self { node, lie, lies: Arc::default(), slow: Arc::default() };
        let switches = between.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(between.clone().serve(stream));
            }
        });
        (address, switches)
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let call: Value = serde_json::from_slice(&body).unwrap();
            let (result, error) = match self.answer(&call).await {
                Ok(result) => (result, Value::Null),
                Err(CallError::Rpc { code, message }) => {
                    (Value::Null, json!({"code": code, "message": message}))
                }
                Err(_) => return,
            };
            let body = json!({"result": result, "error": error, "id": call["id"]}).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            let reply = format!("{head} {}\r\n\r\n{body}", body.len());
            if stream.get_mut().write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, call: &Value) -> Result<Value, CallError> {
        let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
        let lies = || self.lies.load(Ordering::SeqCst);
        if lies()
            && let Some(said) = (self.lie)(method, params, None)
        {
            return Ok(said);
        }
        let answer = self.node.call(method, params.to_string().as_bytes(), Duration::from_secs(120)).await?;
        while method == "getblocktemplate" && self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        // Without a longpoll the adapter asks again and again, and hears of the lie soon.
        if let Some(template) = answer.as_object_mut() {
            template.remove("longpollid");
        }
        if lies() {
            (self.lie)(method, params, Some(&mut answer));
        }
        Ok(answer)
    }
}
