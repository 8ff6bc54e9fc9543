//! A Stratum V1 client for tests: lines, notifies, and hashing by the rules that Bitcoin's miners follow.

use super::PATIENCE;
use millpond_types::Target;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Client {
    pub reader: BufReader<ReadHalf<Box<dyn Stream>>>,
    pub writer: WriteHalf<Box<dyn Stream>>,
    next: u64,
    /// Messages of the pool that were read while waiting for something else.
    pub pushed: VecDeque<Value>,
    pub en1: Vec<u8>,
    pub en2_size: usize,
    pub session: String,
}

/// A job as a miner sees it.
#[derive(Clone, Debug)]
pub struct Notify {
    pub job: String,
    pub prev: Vec<u8>,
    pub coinb1: Vec<u8>,
    pub coinb2: Vec<u8>,
    pub branch: Vec<Vec<u8>>,
    pub version: u32,
    pub bits: u32,
    pub time: u32,
    pub clean: bool,
}

pub fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub fn word(value: &Value) -> u32 {
    u32::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

impl Notify {
    pub fn parse(message: &Value) -> Self {
        let params = message["params"].as_array().unwrap();
        Self {
            job: params[0].as_str().unwrap().to_owned(),
            prev: bytes(&params[1]),
            coinb1: bytes(&params[2]),
            coinb2: bytes(&params[3]),
            branch: params[4].as_array().unwrap().iter().map(bytes).collect(),
            version: word(&params[5]),
            bits: word(&params[6]),
            time: word(&params[7]),
            clean: params[8].as_bool().unwrap(),
        }
    }

    /// The hash of a share as a big-endian number, by the Stratum rules.
    pub fn hash(&self, extranonce: &[u8], time: u32, nonce: u32, version: u32) -> [u8; 32] {
        let header = self.header(extranonce, time, version);
        finish(&header, nonce)
    }

    fn header(&self, extranonce: &[u8], time: u32, version: u32) -> [u8; 76] {
        let mut root = sha256d(&[&self.coinb1[..], extranonce, &self.coinb2].concat());
        for item in &self.branch {
            root = sha256d(&[&root[..], item].concat());
        }
        let mut header = Vec::new();
        header.extend(version.to_le_bytes());
        for word in self.prev.chunks(4) {
            header.extend(word.iter().rev());
        }
        header.extend(root);
        header.extend(time.to_le_bytes());
        header.extend(self.bits.to_le_bytes());
        header.try_into().unwrap()
    }

    /// The first nonce from `from` on whose hash meets `target` but not `network`.
    pub fn mine(&self, extranonce: &[u8], version: u32, from: u32, meets: impl Fn(&[u8; 32]) -> bool) -> u32 {
        let header = self.header(extranonce, self.time, version);
        (from..u32::MAX).find(|nonce| meets(&finish(&header, *nonce))).unwrap()
    }
}

fn finish(header: &[u8; 76], nonce: u32) -> [u8; 32] {
    let mut hash = sha256d(&[&header[..], &nonce.to_le_bytes()].concat());
    hash.reverse();
    hash
}

pub fn sha256d(data: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(data)).into()
}

/// A share ready to submit.
#[derive(Clone, Debug)]
pub struct Share {
    pub job: String,
    pub en2: Vec<u8>,
    pub time: u32,
    pub nonce: u32,
    pub hash: [u8; 32],
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        let stream: Box<dyn Stream> = Box::new(stream);
        let (reader, writer) = tokio::io::split(stream);
        Self::from_halves(BufReader::new(reader), writer)
    }

    pub fn from_halves(
        reader: BufReader<ReadHalf<Box<dyn Stream>>>,
        writer: WriteHalf<Box<dyn Stream>>,
    ) -> Self {
        Self {
            reader,
            writer,
            next: 1,
            pushed: VecDeque::new(),
            en1: Vec::new(),
            en2_size: 0,
            session: String::new(),
        }
    }

    /// Connects, subscribes and authorizes; the first job and difficulty may be pushed already.
    pub async fn ready(address: SocketAddr, login: &str) -> Self {
        let mut client = Self::connect(address).await;
        client.subscribe(json!(["test/1"])).await;
        assert_eq!(client.call("mining.authorize", json!([login, "x"])).await["result"], json!(true));
        client
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        // A server that hung up may make this fail; what it did is seen by reading.
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_raw(format!("{message}\n").as_bytes()).await;
    }

    /// The next line, `None` when the server closed the connection.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read =
            timeout(PATIENCE, self.reader.read_line(&mut line)).await.expect("the server said nothing");
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line),
        }
    }

    pub async fn message(&mut self) -> Value {
        let line = self.line().await.expect("the server hung up");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// Asserts that the server hangs up; what it says before is thrown away.
    pub async fn closed(&mut self) {
        while self.line().await.is_some() {}
    }

    /// As [`Client::closed`], where what comes may be no text.
    pub async fn closed_bytes(&mut self, rest: &mut Vec<u8>) -> std::io::Result<usize> {
        timeout(PATIENCE, tokio::io::AsyncReadExt::read_to_end(&mut self.reader, rest)).await.expect("no end")
    }

    /// Sends a request and returns its answer; pushes that come before are kept.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = json!(self.next);
        self.next += 1;
        self.send(&json!({"id": id, "method": method, "params": params})).await;
        self.answer(&id).await
    }

    pub async fn answer(&mut self, id: &Value) -> Value {
        loop {
            let message = self.message().await;
            if message.get("method").is_none() && message["id"] == *id {
                return message;
            }
            self.pushed.push_back(message);
        }
    }

    pub async fn subscribe(&mut self, params: Value) -> Value {
        let reply = self.call("mining.subscribe", params).await;
        self.session = reply["result"][0][0][1].as_str().unwrap().to_owned();
        self.en1 = bytes(&reply["result"][1]);
        self.en2_size = reply["result"][2].as_u64().unwrap() as usize;
        reply
    }

    /// The next push of a method; others before it are thrown away.
    pub async fn pushed(&mut self, method: &str) -> Value {
        loop {
            let message = match self.pushed.pop_front() {
                Some(message) => message,
                None => self.message().await,
            };
            if message["method"] == method {
                return message;
            }
        }
    }

    pub async fn notify(&mut self) -> Notify {
        Notify::parse(&self.pushed("mining.notify").await)
    }

    pub async fn difficulty(&mut self) -> f64 {
        self.pushed("mining.set_difficulty").await["params"][0].as_f64().unwrap()
    }

    pub fn extranonce(&self, en2: &[u8]) -> Vec<u8> {
        [&self.en1[..], en2].concat()
    }

    /// A share of a job that meets a difficulty and is no block at another, found by hashing.
    pub fn find(&self, job: &Notify, en2: u64, difficulty: f64, not: f64) -> Share {
        let (share, block) = (super::target(difficulty), super::target(not));
        self.find_where(job, en2, |hash| share.is_met_by(hash) && !block.is_met_by(hash))
    }

    pub fn find_where(&self, job: &Notify, en2: u64, meets: impl Fn(&[u8; 32]) -> bool) -> Share {
        let en2 = en2.to_be_bytes()[8 - self.en2_size.min(8)..].to_vec();
        let extranonce = self.extranonce(&en2);
        let nonce = job.mine(&extranonce, job.version, 0, meets);
        let hash = job.hash(&extranonce, job.time, nonce, job.version);
        Share { job: job.job.clone(), en2, time: job.time, nonce, hash }
    }

    pub async fn submit(&mut self, worker: &str, share: &Share) -> Value {
        self.call("mining.submit", params(worker, share)).await
    }
}

pub fn params(worker: &str, share: &Share) -> Value {
    json!([
        worker,
        share.job,
        hex::encode(&share.en2),
        format!("{:08x}", share.time),
        format!("{:08x}", share.nonce)
    ])
}

pub fn code(answer: &Value) -> i64 {
    answer["error"][0].as_i64().unwrap_or_else(|| panic!("no error in {answer}"))
}

pub fn is_true(answer: &Value) -> bool {
    answer["result"] == json!(true) && answer["error"].is_null()
}

pub fn meets(target: Target) -> impl Fn(&[u8; 32]) -> bool {
    move |hash| target.is_met_by(hash)
}
