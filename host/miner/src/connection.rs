//! One connection to a pool: subscribes, logs in, turns notifies into work and shares into submits.

use crate::hashing::{Found, Hashing};
use crate::options::{MineError, Options, Progress};
use crate::work::Work;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// An answer to the handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// A pool that says nothing for this long is gone; pools notify every minute.
const SILENCE: Duration = Duration::from_secs(300);
/// Answers to shares are waited for so long at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(30);
/// A line of a pool is no longer.
const LINE_MAX: u64 = 4 << 20;
/// Requests with these ids are the handshake's; shares follow.
const FIRST_SHARE: u64 = 10;

/// How a connection ended.
pub(crate) enum End {
    /// As wished.
    Done,
    /// It may be tried again.
    Lost(String),
}

pub(crate) struct Connection {
    lines: Lines,
    writer: OwnedWriteHalf,
    /// What the pool calls the session; to resume it.
    pub(crate) session: Option<String>,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    difficulty: f64,
    next_id: u64,
    waiting: HashSet<u64>,
    /// The login's answer is due.
    logging_in: bool,
}

struct Lines {
    reader: Take<BufReader<OwnedReadHalf>>,
    line: Vec<u8>,
}

impl Lines {
    /// The next message. Safe to cancel: half a line is kept.
    async fn next(&mut self) -> Result<Value, String> {
        loop {
            let read =
                self.reader.read_until(b'\n', &mut self.line).await.map_err(|error| error.to_string())?;
            if self.line.last() != Some(&b'\n') {
                if read != 0 && self.reader.limit() > 0 {
                    continue;
                }
                return Err("the pool hung up".to_owned());
            }
            let line = std::mem::take(&mut self.line);
            self.reader.set_limit(LINE_MAX);
            if line.trim_ascii().is_empty() {
                continue;
            }
            return serde_json::from_slice(&line).map_err(|error| format!("the pool said no JSON: {error}"));
        }
    }
}

impl Connection {
    pub(crate) async fn open(options: &Options, session: &Option<String>) -> Result<Self, MineError> {
        let unreachable = |source| MineError::Unreachable { pool: options.pool.clone(), source };
        let connecting = timeout(HANDSHAKE, TcpStream::connect(options.address())).await;
        let stream =
            connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let lines = Lines { reader: BufReader::new(reader).take(LINE_MAX), line: Vec::new() };
        let mut connection = Self {
            lines,
            writer,
            session: None,
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            difficulty: 1.0,
            next_id: FIRST_SHARE,
            waiting: HashSet::new(),
            logging_in: true,
        };
        let protocol = |what: String| MineError::Protocol { pool: options.pool.clone(), what };
        let mut params = vec![json!(options.agent)];
        params.extend(session.as_ref().map(|session| json!(session)));
        connection
            .send(&json!({"id": 1, "method": "mining.subscribe", "params": params}))
            .await
            .map_err(protocol)?;
        let reply = timeout(HANDSHAKE, connection.lines.next()).await;
        let reply =
            reply.unwrap_or_else(|_| Err("no answer to the subscription".to_owned())).map_err(protocol)?;
        connection
            .subscribed(&reply)
            .ok_or_else(|| protocol(format!("the answer to the subscription is none: {reply}")))?;
        let login =
            json!({"id": 2, "method": "mining.authorize", "params": [options.login, options.password]});
        connection.send(&login).await.map_err(protocol)?;
        Ok(connection)
    }

    fn subscribed(&mut self, reply: &Value) -> Option<()> {
        let result = reply.get("result")?;
        self.extranonce1 = hex::decode(result.get(1)?.as_str()?).ok()?;
        self.extranonce2_size = usize::try_from(result.get(2)?.as_u64()?).ok()?;
        self.session = result.pointer("/0/0/1").and_then(Value::as_str).map(str::to_owned);
        Some(())
    }

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        let line = format!("{message}\n");
        let written = timeout(HANDSHAKE, self.writer.write_all(line.as_bytes())).await;
        written.map_err(|_| "the pool does not read".to_owned())?.map_err(|error| error.to_string())
    }

    /// Mines until something ends it.
    pub(crate) async fn mine(
        &mut self,
        options: &Options,
        hashing: &Hashing,
        found: &mut mpsc::Receiver<Found>,
        progress: &Progress,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<End, MineError> {
        Progress::add(&progress.connections, 1);
        let login_by = Instant::now() + HANDSHAKE;
        let mut silent_at = Instant::now() + SILENCE;
        loop {
            let deadline = if self.logging_in { login_by } else { silent_at };
            tokio::select! {
                () = stopped(stop) => {
                    hashing.rest();
                    self.last_answers(hashing, options, progress).await;
                    return Ok(End::Done);
                }
                message = self.lines.next() => {
                    silent_at = Instant::now() + SILENCE;
                    match message {
                        Ok(message) => if let Some(end) = self.hear(&message, hashing, options, progress).await? {
                            return Ok(end);
                        },
                        Err(why) => return Ok(End::Lost(why)),
                    }
                }
                Some(share) = found.recv() => {
                    if let Err(why) = self.submit(&options.login, &share).await {
                        return Ok(End::Lost(why));
                    }
                }
                () = sleep_until(deadline) => return Ok(End::Lost("the pool says nothing".to_owned())),
            }
            if options.shares.is_some_and(|shares| progress.accepted() >= shares) {
                return Ok(End::Done);
            }
        }
    }

    async fn last_answers(&mut self, hashing: &Hashing, options: &Options, progress: &Progress) {
        let until = Instant::now() + LAST_ANSWERS;
        while !self.waiting.is_empty() {
            let Ok(Ok(message)) = timeout_at(until, self.lines.next()).await else { return };
            if message.get("method").is_none()
                && !matches!(self.hear(&message, hashing, options, progress).await, Ok(None))
            {
                return;
            }
        }
    }

    async fn submit(&mut self, login: &str, share: &Found) -> Result<(), String> {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id);
        let params = json!([
            login,
            share.work.job,
            hex::encode(&share.extranonce2),
            format!("{:08x}", share.work.time),
            format!("{:08x}", share.nonce),
        ]);
        self.send(&json!({"id": id, "method": "mining.submit", "params": params})).await
    }

    async fn hear(
        &mut self,
        message: &Value,
        hashing: &Hashing,
        options: &Options,
        progress: &Progress,
    ) -> Result<Option<End>, MineError> {
        let params = message.get("params").unwrap_or(&Value::Null);
        match message.get("method").and_then(Value::as_str) {
            None => return self.answered(message, options, progress),
            // Both apply from the next job.
            Some("mining.set_difficulty") => {
                if let Some(difficulty) = params.get(0).and_then(Value::as_f64) {
                    self.difficulty = difficulty;
                }
            }
            Some("mining.set_extranonce") => {
                let prefix = params.get(0).and_then(Value::as_str).and_then(|text| hex::decode(text).ok());
                let size = params.get(1).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                if let (Some(prefix), Some(size)) = (prefix, size) {
                    (self.extranonce1, self.extranonce2_size) = (prefix, size);
                }
            }
            Some("mining.notify") => {
                let target = hashing.target(self.difficulty);
                match Work::parse(params, &self.extranonce1, self.extranonce2_size, target) {
                    Some(work) => {
                        Progress::add(&progress.jobs, 1);
                        hashing.give(work);
                    }
                    None => tracing::warn!("a job that cannot be read"),
                }
            }
            Some("client.reconnect") => return Ok(Some(End::Lost("the pool asks to reconnect".to_owned()))),
            Some("client.show_message") => tracing::info!(text = %params, "the pool says"),
            Some("client.get_version") => {
                let id = message.get("id").unwrap_or(&Value::Null);
                let reply = json!({"id": id, "result": options.agent, "error": null});
                if let Err(why) = self.send(&reply).await {
                    return Ok(Some(End::Lost(why)));
                }
            }
            Some(_) => {}
        }
        Ok(None)
    }

    fn answered(
        &mut self,
        message: &Value,
        options: &Options,
        progress: &Progress,
    ) -> Result<Option<End>, MineError> {
        let Some(id) = message.get("id").and_then(Value::as_u64) else { return Ok(None) };
        let granted = message.get("result") == Some(&Value::Bool(true));
        let why =
            || message.pointer("/error/1").and_then(Value::as_str).unwrap_or("without a reason").to_owned();
        if id == 2 && std::mem::take(&mut self.logging_in) && !granted {
            return Err(MineError::Login {
                pool: options.pool.clone(),
                login: options.login.clone(),
                why: why(),
            });
        }
        if self.waiting.remove(&id) {
            if granted {
                Progress::add(&progress.accepted, 1);
            } else {
                Progress::add(&progress.rejected, 1);
                tracing::info!(why = why(), "a share was refused");
            }
        }
        Ok(None)
    }
}

/// Resolves when the miner shall stop: told so, or left by its owner.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}
