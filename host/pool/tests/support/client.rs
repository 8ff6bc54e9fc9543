//! A miner that does only what the test says: it takes jobs, finds shares of a wanted quality and sends them.

use bitcoin::CompactTarget;
use bitcoin::hashes::{Hash, sha256d};
use millpond_algorithms::{Algorithms, Context};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::PATIENCE;

/// A job as it was notified.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub version: u32,
    pub bits: u32,
    prev: Vec<u8>,
    coinbase: [Vec<u8>; 2],
    branch: Vec<Vec<u8>>,
    time: u32,
    /// The difficulty its shares have to meet.
    difficulty: f64,
}

/// A share that was found.
#[derive(Clone, Debug)]
pub struct Share {
    job: String,
    extranonce2: Vec<u8>,
    time: u32,
    nonce: u32,
    rolled: u32,
    /// The header's double SHA-256, as it is computed.
    pub id: [u8; 32],
    /// Whether it solves a block.
    pub solves: bool,
}

impl Share {
    /// The block's name as nodes write it.
    pub fn block(&self) -> String {
        sha256d::Hash::from_byte_array(self.id).to_string()
    }
}

/// What a share has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Good for the session's difficulty, whatever else.
    Share,
    /// Good for the difficulty, and no block.
    Mere,
    /// A block, and good for the difficulty.
    Block,
}

/// A connection to a pool.
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    login: String,
    next_id: u64,
    /// By which the session can be taken up again.
    pub session: String,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    difficulty: f64,
    mask: u32,
    /// The newest job.
    pub job: Option<Job>,
    /// Replies that nobody asked for yet.
    replies: VecDeque<Value>,
    pow: Arc<dyn Context>,
    /// The first 128 bits of the target of difficulty 1.
    diff1: f64,
    tried: u64,
}

/// The first 128 bits of a hash, read as a number as nodes do.
fn leading(hash: &[u8; 32]) -> f64 {
    let mut first = [0; 16];
    first.copy_from_slice(&hash[16..]);
    u128::from_le_bytes(first) as f64
}

impl Client {
    /// What the pool set of the extranonce.
    pub fn extranonce1(&self) -> &[u8] {
        &self.extranonce1
    }

    /// Connects, negotiates version rolling, subscribes and logs in; waits for the first job.
    pub async fn connect(address: SocketAddr, login: &str, algorithm: &str) -> Result<Self> {
        Self::resume(address, login, algorithm, None).await
    }

    /// The same, taking up a session of before.
    pub async fn resume(
        address: SocketAddr,
        login: &str,
        algorithm: &str,
        session: Option<&str>,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let zeros = if algorithm == "scrypt" { 96 } else { 80 };
        let mut client = Self {
            reader: BufReader::new(reader),
            writer,
            login: login.to_owned(),
            next_id: 1,
            session: String::new(),
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            difficulty: 1.0,
            mask: 0,
            job: None,
            replies: VecDeque::new(),
            pow: Algorithms::native().get(algorithm).unwrap().prepare(&[]).unwrap(),
            diff1: 65_535.0 * 2_f64.powi(zeros),
            tried: 0,
        };
        let rolling = json!([["version-rolling"], {"version-rolling.mask": "ffffffff"}]);
        let configured = client.call("mining.configure", rolling).await?;
        let mask = configured["result"]["version-rolling.mask"].as_str().unwrap();
        client.mask = u32::from_str_radix(mask, 16).unwrap();
        let subscribed = client.call("mining.subscribe", json!(["test", session])).await?;
        client.session = subscribed["result"][0][0][1].as_str().unwrap().to_owned();
        client.extranonce1 = hex::decode(subscribed["result"][1].as_str().unwrap()).unwrap();
        client.extranonce2_size = usize::try_from(subscribed["result"][2].as_u64().unwrap()).unwrap();
        let authorized = client.call("mining.authorize", json!([client.login, "x"])).await?;
        if authorized["result"] != json!(true) {
            return Err(Error::new(ErrorKind::PermissionDenied, authorized.to_string()));
        }
        while client.job.is_none() {
            client.hear().await?;
        }
        Ok(client)
    }

    /// The bits that may be rolled.
    pub fn mask(&self) -> u32 {
        self.mask
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send(method, params).await?;
        loop {
            let reply = self.reply().await?;
            if reply["id"] == json!(id) {
                return Ok(reply);
            }
        }
    }

    async fn send(&mut self, method: &str, params: Value) -> Result<u64> {
        let line = self.line(method, &params);
        let id = self.next_id;
        self.next_id += 1;
        self.writer.write_all(line.as_bytes()).await?;
        Ok(id)
    }

    /// A request under the next number.
    fn line(&self, method: &str, params: &Value) -> String {
        format!("{}\n", json!({"id": self.next_id, "method": method, "params": params}))
    }

    /// The next reply to anything.
    pub async fn reply(&mut self) -> Result<Value> {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(reply);
            }
            self.hear().await?;
        }
    }

    /// Reads one message.
    async fn hear(&mut self) -> Result<()> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.reader.read_line(&mut line)).await;
        if read.unwrap_or_else(|_| panic!("the pool says nothing to {}", self.login))? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // A killed pool may leave half a line.
        let message: Value = serde_json::from_str(&line).map_err(Error::other)?;
        let params = &message["params"];
        match message["method"].as_str() {
            Some("mining.notify") => self.job = Some(self.read_job(params)),
            Some("mining.set_difficulty") => self.difficulty = params[0].as_f64().unwrap(),
            Some(_) => {}
            None => self.replies.push_back(message),
        }
        Ok(())
    }

    fn read_job(&self, params: &Value) -> Job {
        let bytes = |index: usize| hex::decode(params[index].as_str().unwrap()).unwrap();
        let word = |index: usize| u32::from_str_radix(params[index].as_str().unwrap(), 16).unwrap();
        let branch = params[4].as_array().unwrap().iter();
        Job {
            id: params[0].as_str().unwrap().to_owned(),
            // Each word of four bytes stands reversed on the wire.
            prev: bytes(1).chunks(4).flat_map(|word| word.iter().rev().copied()).collect(),
            coinbase: [bytes(2), bytes(3)],
            branch: branch.map(|item| hex::decode(item.as_str().unwrap()).unwrap()).collect(),
            version: word(5),
            bits: word(6),
            time: word(7),
            difficulty: self.difficulty,
        }
    }

    /// Waits for a job on another parent than this one's.
    pub async fn job_after(&mut self, before: &Job) -> Job {
        loop {
            match &self.job {
                Some(job) if job.prev != before.prev => return job.clone(),
                _ => self.hear().await.unwrap(),
            }
        }
    }

    /// Waits for a job on this parent, in the hex of nodes.
    pub async fn job_on(&mut self, parent: &str) -> Job {
        let mut prev = hex::decode(parent).unwrap();
        prev.reverse();
        loop {
            match &self.job {
                Some(job) if job.prev == prev => return job.clone(),
                _ => self.hear().await.unwrap(),
            }
        }
    }

    /// Waits for another job than this one, on whatever parent.
    pub async fn job_other_than(&mut self, before: &Job) -> Job {
        loop {
            match &self.job {
                Some(job) if job.id != before.id => return job.clone(),
                _ => self.hear().await.unwrap(),
            }
        }
    }

    /// Finds a share of a job, with these rolled version bits.
    pub fn find(&mut self, job: &Job, rolled: u32, want: Want) -> Share {
        assert_eq!(rolled & !self.mask, 0, "the bits are outside the mask");
        // A hair below, for the rounding of floats.
        let good = (self.diff1 / job.difficulty).min(2_f64.powi(128)) * 0.999_999;
        let compact = CompactTarget::from_consensus(job.bits);
        let mut network = bitcoin::Target::from_compact(compact).to_le_bytes();
        network[..16].fill(0);
        let network = leading(&network);
        loop {
            self.tried += 1;
            let mut extranonce2 = self.tried.to_be_bytes().to_vec();
            extranonce2.drain(..8_usize.saturating_sub(self.extranonce2_size));
            let [head, tail] = &job.coinbase;
            let coinbase = [head.as_slice(), &self.extranonce1, &extranonce2, tail].concat();
            let mut root = sha256d::Hash::hash(&coinbase).to_byte_array();
            for item in &job.branch {
                root = sha256d::Hash::hash(&[&root[..], item].concat()).to_byte_array();
            }
            // Rolled as BIP 310 says.
            let version = (job.version & !self.mask) | rolled;
            let mut header = [
                &version.to_le_bytes()[..],
                &job.prev,
                &root,
                &job.time.to_le_bytes(),
                &job.bits.to_le_bytes(),
                &[0; 4],
            ]
            .concat();
            for nonce in 0..10_000_u32 {
                header[76..].copy_from_slice(&nonce.to_le_bytes());
                let mut hash = [0; 32];
                self.pow.hash(&header, &mut hash).unwrap();
                let value = leading(&hash);
                let solves = value < network;
                let wanted = match want {
                    Want::Share => true,
                    Want::Mere => !solves,
                    Want::Block => solves,
                };
                if value > good || !wanted {
                    continue;
                }
                let id = sha256d::Hash::hash(&header).to_byte_array();
                return Share { job: job.id.clone(), extranonce2, time: job.time, nonce, rolled, id, solves };
            }
        }
    }

    /// The same work under another job's name.
    pub fn renamed(&self, share: &Share, job: &Job) -> Share {
        Share { job: job.id.clone(), ..share.clone() }
    }

    fn params(&self, share: &Share) -> Value {
        json!([
            self.login,
            share.job,
            hex::encode(&share.extranonce2),
            format!("{:08x}", share.time),
            format!("{:08x}", share.nonce),
            format!("{:08x}", share.rolled),
        ])
    }

    /// Sends a share; its reply comes by [`Client::reply`] under this id.
    pub async fn send_share(&mut self, share: &Share) -> Result<u64> {
        let params = self.params(share);
        self.send("mining.submit", params).await
    }

    /// Sends shares in one write; their replies come in their order.
    pub async fn send_shares(&mut self, shares: &[Share]) -> Result<()> {
        let mut lines = String::new();
        for share in shares {
            lines.push_str(&self.line("mining.submit", &self.params(share)));
            self.next_id += 1;
        }
        self.writer.write_all(lines.as_bytes()).await
    }

    /// Sends a share and waits for the reply.
    pub async fn submit(&mut self, share: &Share) -> Value {
        let id = self.send_share(share).await.unwrap();
        loop {
            let reply = self.reply().await.unwrap();
            if reply["id"] == json!(id) {
                return reply;
            }
        }
    }
}
