//! One miner: his handshake, his job, the shares he waits for.

use crate::job::{Job, Sharing};
use crate::link::Link;
use crate::scan::{Items, Message, Raw, text};
use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Ids of the handshake's requests; shares follow.
const SUBSCRIBE: u64 = 1;
const AUTHORIZE: u64 = 2;
const FIRST_SHARE: u64 = 10;
/// No line of a server is longer.
const LINE_MAX: usize = 4 << 20;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The socket is not connected yet.
    Connecting,
    /// The answer to `mining.subscribe` is due.
    Subscribing,
    /// The answer to `mining.authorize` is due.
    Authorizing,
    /// Logged in.
    Ready,
}

/// What a miner calls himself.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// In turn; `{}` stands for the connection's number.
    pub(crate) users: Arc<[String]>,
    pub(crate) password: String,
    pub(crate) agent: String,
}

impl Login {
    fn of(&self, number: usize) -> String {
        let user = self.users.get(number % self.users.len().max(1)).map_or("", String::as_str);
        user.replace("{}", &number.to_string())
    }
}

/// What a line meant to its connection.
#[derive(Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// Nothing.
    None,
    /// The connection was logged in.
    Ready,
    /// The handshake was refused.
    Refused(&'static str),
    /// A share was answered: whether it counts, and the error.
    Answer(Instant, bool, Raw<'a>),
    /// There is a job; whether it is the first one, or on another block.
    Job { first: bool, other_block: bool },
}

pub(crate) struct Connection {
    pub(crate) link: Link,
    pub(crate) stage: Stage,
    pub(crate) begun: Instant,
    /// The beginning of a line.
    pub(crate) rest: Vec<u8>,
    pub(crate) job: Option<Rc<Job>>,
    user: Box<str>,
    extranonce1: Box<[u8]>,
    extranonce2_size: usize,
    /// The difficulty of the job, and of the next one.
    difficulty: [f64; 2],
    sharing: Option<(f64, bool, Sharing)>,
    /// Shares sent, also the next one's extranonce2.
    shares: u64,
    /// Of those, shares of the present firing.
    pub(crate) shares_of_firing: u64,
    waiting: VecDeque<(u64, Instant)>,
}

impl Connection {
    pub(crate) fn new(link: Link, number: usize, login: &Login) -> Self {
        Self {
            link,
            stage: Stage::Connecting,
            begun: Instant::now(),
            rest: Vec::new(),
            job: None,
            user: login.of(number).into(),
            extranonce1: Box::default(),
            extranonce2_size: 0,
            difficulty: [1.0; 2],
            sharing: None,
            shares: 0,
            shares_of_firing: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The socket is connected: says the first word.
    pub(crate) fn connected(&mut self, login: &Login, scratch: &mut Vec<u8>) -> std::io::Result<()> {
        self.stage = Stage::Subscribing;
        scratch.clear();
        let agent = serde_json::Value::from(login.agent.as_str());
        writeln!(scratch, r#"{{"id":{SUBSCRIBE},"method":"mining.subscribe","params":[{agent}]}}"#)?;
        self.link.write(scratch)
    }

    fn authorize(&mut self, login: &Login, scratch: &mut Vec<u8>) -> std::io::Result<()> {
        self.stage = Stage::Authorizing;
        scratch.clear();
        let words = serde_json::json!([&*self.user, login.password]);
        writeln!(scratch, r#"{{"id":{AUTHORIZE},"method":"mining.authorize","params":{words}}}"#)?;
        self.link.write(scratch)
    }

    /// What a message means. `last` is the job that another connection was told last.
    pub(crate) fn hear<'a>(
        &mut self,
        message: &Message<'a>,
        last: &mut Option<Rc<Job>>,
        login: &Login,
        scratch: &mut Vec<u8>,
    ) -> Result<Event<'a>, std::io::Error> {
        match message {
            Message::Reply { id, result, error } if *id >= FIRST_SHARE => {
                Ok(self.answered(*id).map_or(Event::None, |at| Event::Answer(at, *result == b"true", error)))
            }
            Message::Reply { id: SUBSCRIBE, result, .. } if self.stage == Stage::Subscribing => {
                if self.subscribed(result).is_none() {
                    return Ok(Event::Refused("the subscription was refused"));
                }
                self.authorize(login, scratch)?;
                Ok(Event::None)
            }
            Message::Reply { id: AUTHORIZE, result, .. } if self.stage == Stage::Authorizing => {
                if *result != b"true" {
                    return Ok(Event::Refused("the login was refused"));
                }
                self.stage = Stage::Ready;
                Ok(Event::Ready)
            }
            Message::Notify(params) => Ok(self.job(params, last)),
            Message::Difficulty(difficulty) => {
                self.difficulty[1] = *difficulty;
                Ok(Event::None)
            }
            Message::Extranonce(params) => {
                self.extranonce(Items::of(params));
                Ok(Event::None)
            }
            Message::Reply { .. } | Message::Other => Ok(Event::None),
        }
    }

    /// `[subscriptions, extranonce1, size of extranonce2]`.
    fn subscribed(&mut self, result: Raw<'_>) -> Option<()> {
        let mut items = Items::of(result)?;
        items.next()?;
        self.extranonce(Some(items))
    }

    fn extranonce(&mut self, items: Option<Items<'_>>) -> Option<()> {
        let mut items = items?;
        let first = hex::decode(text(items.next()?)?).ok()?;
        let size =
            std::str::from_utf8(items.next()?).ok()?.parse().ok().filter(|size| (1..=32).contains(size))?;
        (self.extranonce1, self.extranonce2_size) = (first.into(), size);
        Some(())
    }

    fn job(&mut self, params: Raw<'_>, last: &mut Option<Rc<Job>>) -> Event<'static> {
        let known = last.as_ref().filter(|job| *job.params == *params);
        let Some(job) = known.cloned().or_else(|| Job::read(params).map(Rc::new)) else { return Event::None };
        *last = Some(Rc::clone(&job));
        let first = self.job.is_none();
        let other_block = self.job.as_ref().is_some_and(|before| before.parent != job.parent);
        self.difficulty[0] = self.difficulty[1];
        self.job = Some(job);
        Event::Job { first, other_block }
    }

    /// When the share with this id was sent.
    fn answered(&mut self, id: u64) -> Option<Instant> {
        // Servers answer in order, nearly always.
        let place = self.waiting.iter().position(|(waiting, _)| *waiting == id)?;
        self.waiting.remove(place).map(|(_, at)| at)
    }

    /// Shares that wait for their answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    /// Makes a share that meets the target, or misses it, and adds its line. False when there is no job, or no share
    /// of it could be found.
    pub(crate) fn share(&mut self, meets: bool, out: &mut Vec<u8>) -> bool {
        let Some(job) = &self.job else { return false };
        let [difficulty, _] = self.difficulty;
        let sharing = match self.sharing {
            Some((of, met, sharing)) if of.to_bits() == difficulty.to_bits() && met == meets => sharing,
            _ => {
                let sharing = Sharing::new(difficulty, meets);
                self.sharing = Some((difficulty, meets, sharing));
                sharing
            }
        };
        let bits = u32::try_from(8 * self.extranonce2_size.min(8)).unwrap_or(64);
        let round = self.shares.checked_shr(bits).unwrap_or(0);
        let mut wide = [0; 40];
        wide[32..].copy_from_slice(&self.shares.to_be_bytes());
        let Some(extranonce2) = wide.get(wide.len() - self.extranonce2_size..) else { return false };
        let round = u8::try_from(round % 256).unwrap_or(0);
        let Some(nonce) = job.nonce(&sharing, [&self.extranonce1, extranonce2], round) else { return false };
        let id = FIRST_SHARE + self.shares;
        // Into memory, which does not fail.
        let _ = write!(out, r#"{{"id":{id},"method":"mining.submit","params":["{}",""#, self.user);
        out.extend_from_slice(&job.id);
        out.extend_from_slice(b"\",\"");
        hex_into(extranonce2, out);
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(&job.time);
        out.extend_from_slice(b"\",\"");
        hex_into(&nonce.to_be_bytes(), out);
        out.extend_from_slice(b"\"]}\n");
        self.shares += 1;
        self.shares_of_firing += 1;
        self.waiting.push_back((id, Instant::now()));
        true
    }

    /// Answers that come later are nobody's.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Whether the beginning of a line that was kept is longer than any line.
    pub(crate) fn is_endless(&self) -> bool {
        self.rest.len() > LINE_MAX
    }
}

fn hex_into(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}
