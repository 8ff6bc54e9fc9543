//! Blocks on their way to the nodes, each until every node judged it: sent again, with growing pauses and when a node
//! comes up, to those that were down, slow, or loading.
//!
//! Three kinds of threads, so that nothing waits for what is slow: the solvers assemble a block and send it; one thread
//! reads what nodes answer and sends again; one tells the pool, whose disk may hang. Nodes answer on threads of their own.

use crate::handle::Shared;
use crate::outstanding::{Outstanding, Standing};
use crate::port::{NodeAnswer, NodeCall};
use crate::sink::{Alarm, AlarmKind, ChainSink, Submission};
use crate::solve::{Solved, rope};
use millpond_contracts::chain::{Assembled, NodeError, NodeErrorKind, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long a node has to take a block.
const SUBMIT: Duration = Duration::from_secs(30);
/// Blocks on their way at a time. A template is megabytes, and of blocks of one height only one can count.
const OUTSTANDING: usize = 64;
/// How long a chain that ends waits for the answers that are under way. What no node has by then is sent again after the
/// restart.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Characters of a node's words.
const WORDS: u64 = 512;
/// Bytes of a refused request in the log.
const LOGGED: usize = 4096;

/// What the submitter hears.
pub(crate) enum Message {
    /// A block was sent to every node for the first time; its number.
    Sent(u64, Box<Solved>, Box<Assembled>),
    /// A node's answer to the block of a number.
    Answered(u64, NodeAnswer),
    /// A node went up.
    Up(u16),
    /// A solver ends: it sends nothing more.
    SolverEnded,
}

/// What the pool is to be told.
pub(crate) enum Told {
    Alarm(AlarmKind, String),
    Submission(Submission),
}

/// Tells the pool, in order, until the submitter ends.
pub(crate) fn tell(sink: &dyn ChainSink, news: &Receiver<Told>) {
    for told in news {
        match told {
            Told::Alarm(kind, text) => sink.alarm(Alarm { kind, text }),
            Told::Submission(submission) => sink.submitted(&submission),
        }
    }
}

/// The way of blocks to the nodes.
#[derive(Clone)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
    inbox: Sender<Message>,
    numbers: Arc<AtomicU64>,
}

impl Outbox {
    pub(crate) fn new(shared: Arc<Shared>, inbox: Sender<Message>) -> Self {
        Self { shared, inbox, numbers: Arc::default() }
    }

    /// Sends a block to every node.
    pub(crate) fn first(&self, solved: Solved, assembled: Assembled, request: &[u8]) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let calls: Vec<NodeCall> =
            (0..self.shared.port.links()).map(|link| call(&solved, &assembled, request, link)).collect();
        // Known before any answer can come. The submitter lives as long as any solver does.
        let _ = self.inbox.send(Message::Sent(number, Box::new(solved), Box::new(assembled)));
        calls.into_iter().for_each(|call| self.send(number, call));
    }

    fn send(&self, number: u64, call: NodeCall) {
        let link = call.link.unwrap_or_default();
        let reply = Reply(Some((self.inbox.clone(), number, link)));
        self.shared.port.submit(call, Box::new(move |answer| reply.give(answer)));
    }
}

fn call(solved: &Solved, assembled: &Assembled, request: &[u8], link: u16) -> NodeCall {
    NodeCall {
        link: Some(link),
        transport: assembled.transport,
        transport_name: solved.version.granted.transport(assembled.transport).unwrap_or_default().to_owned(),
        method: assembled.method.clone(),
        body: request.to_vec(),
        timeout: SUBMIT,
    }
}

/// The answer to one call: one that is dropped without it counts as no answer.
struct Reply(Option<(Sender<Message>, u64, u16)>);

impl Reply {
    fn give(mut self, answer: NodeAnswer) {
        if let Some((inbox, number, link)) = self.0.take() {
            // Which node was asked is known better here.
            let _ = inbox.send(Message::Answered(number, NodeAnswer { link, ..answer }));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some((inbox, number, link)) = self.0.take() {
            let message = "the call ended without an answer".to_owned();
            let outcome = Err(NodeError { kind: NodeErrorKind::Unreachable, code: 0, message });
            let _ = inbox.send(Message::Answered(number, NodeAnswer { link, outcome }));
        }
    }
}

/// A block on its way.
struct Block {
    solved: Solved,
    assembled: Assembled,
    outstanding: Outstanding,
    /// What the operator was told last.
    told: Standing,
    /// Whether a node said something that the pool has not heard.
    news: bool,
}

/// Reads what nodes answer and sends again.
pub(crate) struct Submitter {
    outbox: Outbox,
    inbox: Receiver<Message>,
    pool: Sender<Told>,
    blocks: BTreeMap<u64, Block>,
    /// Solvers that have not ended.
    solvers: usize,
    /// When a chain that ends waits no longer.
    ends: Option<Instant>,
}

impl Submitter {
    pub(crate) fn new(outbox: Outbox, inbox: Receiver<Message>, pool: Sender<Told>, solvers: usize) -> Self {
        Self { outbox, inbox, pool, blocks: BTreeMap::new(), solvers, ends: None }
    }

    /// Runs until all solvers ended and nothing is under way.
    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            let wake = self.blocks.values().filter_map(|block| block.outstanding.wake(now)).min();
            let heard = match self.ends.or(wake) {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wake) => self.inbox.recv_timeout(wake.saturating_duration_since(now)),
            };
            match heard {
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.turn();
            if self.has_ended() {
                return;
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        if self.solvers > 0 {
            return false;
        }
        let now = Instant::now();
        let ends = *self.ends.get_or_insert(now + LAST_WORDS);
        let waits = |block: &Block| {
            block.outstanding.under_way() && block.outstanding.standing(now) != Standing::Taken
        };
        if now < ends && self.blocks.values().any(waits) {
            return false;
        }
        for block in self.blocks.values() {
            if block.outstanding.standing(now) != Standing::Taken {
                let block = hex::encode(&block.assembled.block);
                tracing::warn!(block, "no node has this block: it is submitted again after the next start");
            }
        }
        true
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Sent(number, solved, assembled) => {
                let outstanding = Outstanding::sent(self.outbox.shared.port.links(), Instant::now());
                let (solved, assembled) = (*solved, *assembled);
                let block = Block { solved, assembled, outstanding, told: Standing::Asking, news: false };
                self.blocks.insert(number, block);
            }
            Message::Answered(number, answer) => self.answered(number, answer),
            Message::Up(link) => {
                let now = Instant::now();
                self.blocks.values_mut().for_each(|block| block.outstanding.up(link, now));
            }
            Message::SolverEnded => self.solvers = self.solvers.saturating_sub(1),
        }
    }

    fn answered(&mut self, number: u64, answer: NodeAnswer) {
        // One that comes after the end of its block is of no use any more.
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let adapter = &block.solved.version.adapter;
        let (verdict, words) = match answer.outcome {
            Ok(reply) => match adapter.read_reply(&block.assembled.method, &reply) {
                Ok(done) => done.value,
                Err(error) => (Verdict::Retry, error.to_string()),
            },
            Err(error) => (Verdict::Retry, error.to_string()),
        };
        let words = millpond_runtime::clean(&words, WORDS);
        block.news |= block.outstanding.answered(answer.link, verdict, words, Instant::now());
    }

    /// What time, or what was just heard, brings.
    fn turn(&mut self) {
        self.make_room();
        let numbers: Vec<u64> = self.blocks.keys().copied().collect();
        for number in numbers {
            self.look_at(number);
        }
    }

    fn look_at(&mut self, number: u64) {
        let now = Instant::now();
        let chain = self.outbox.shared.status.lock().coord;
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let standing = block.outstanding.standing(now);
        let news = std::mem::take(&mut block.news) || standing != block.told;
        if standing != block.told {
            self.changed(number, standing);
        }
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let coord = block.solved.coord;
        let deepest = u64::from(block.solved.version.description().final_after);
        if block.outstanding.ended(now) {
            return self.end(number);
        }
        if chain.saturating_sub(coord) > deepest {
            if !matches!(standing, Standing::Taken | Standing::Refused) {
                let passed = chain.saturating_sub(coord);
                let text = format!(
                    "{}: it is given up, the chain is {passed} blocks past it and no node took it",
                    named(block)
                );
                self.alarm(AlarmKind::Block, text);
            }
            return self.end(number);
        }
        let due = if self.ends.is_some() { Vec::new() } else { block.outstanding.take_due(now) };
        if news {
            self.report(number, false);
        }
        let Some(block) = self.blocks.get(&number) else { return };
        if due.is_empty() {
            return;
        }
        match rope(&block.assembled.request, block.solved.body.as_deref()) {
            Ok(request) => {
                let calls: Vec<_> = due
                    .into_iter()
                    .map(|link| call(&block.solved, &block.assembled, &request, link))
                    .collect();
                calls.into_iter().for_each(|call| self.outbox.send(number, call));
            }
            // It was put together once, from the same parts.
            Err(why) => tracing::error!("{}: {why}", named(block)),
        }
    }

    /// Tells the operator what is known of a block now.
    fn changed(&mut self, number: u64, standing: Standing) {
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let before = std::mem::replace(&mut block.told, standing);
        let (name, verdicts) = (named(block), block.outstanding.verdicts());
        let words = |wanted: &[Verdict]| {
            let wanted =
                verdicts.iter().filter(|(_, verdict, _)| wanted.is_empty() || wanted.contains(verdict));
            let words = wanted.map(|(link, _, words)| format!("node {link}: {words}"));
            let words = words.collect::<Vec<_>>().join("; ");
            if words.is_empty() { "none answered".to_owned() } else { words }
        };
        match (standing, before) {
            (Standing::Nowhere, _) => {
                let text = format!(
                    "{name}: no node has it yet, it is sent again until one takes it; {}",
                    words(&[])
                );
                tracing::error!("{text}");
                self.alarm(AlarmKind::Block, text);
            }
            (Standing::Refused, _) => {
                let text = format!("every node that could judge {name} rejected it; {}", words(&[]));
                let request =
                    rope(&block.assembled.request, block.solved.body.as_deref()).unwrap_or_default();
                let request = String::from_utf8_lossy(request.get(..LOGGED).unwrap_or(&request)).into_owned();
                tracing::error!(request, "{text}");
                self.alarm(AlarmKind::Block, text);
            }
            (Standing::Taken, Standing::Nowhere | Standing::Refused) => {
                let has = words(&[Verdict::Accepted, Verdict::Duplicate]);
                let text = match before {
                    Standing::Refused => {
                        format!("{name}: a node has it that another one rejected; {}", words(&[]))
                    }
                    _ => format!("{name}: a node has it now; {has}"),
                };
                self.alarm(AlarmKind::Taken, text);
            }
            (Standing::Stale, Standing::Nowhere) => {
                let text =
                    format!("{name}: a node keeps it beside its best chain; {}", words(&[Verdict::Stale]));
                self.alarm(AlarmKind::Taken, text);
            }
            (Standing::Asking | Standing::Stale | Standing::Taken, _) => {}
        }
    }

    /// Beyond the bound the block that matters least is not sent again: one that a node has or judged, else the oldest.
    fn make_room(&mut self) {
        if self.blocks.len() <= OUTSTANDING {
            return;
        }
        let now = Instant::now();
        let open =
            |block: &Block| matches!(block.outstanding.standing(now), Standing::Asking | Standing::Nowhere);
        // What a node is being asked about is decided within that call's time.
        let idle = self.blocks.iter().filter(|(_, block)| !block.outstanding.under_way());
        let least = idle.min_by_key(|(number, block)| (open(block), block.solved.coord, **number));
        let Some((&number, block)) = least else { return };
        if open(block) {
            let text = format!(
                "{}: no node has it, and {OUTSTANDING} newer blocks wait as well: it is sent again after a restart",
                named(block)
            );
            self.alarm(AlarmKind::Block, text);
        }
        self.end(number);
    }

    fn end(&mut self, number: u64) {
        self.report(number, true);
        self.blocks.remove(&number);
    }

    fn report(&self, number: u64, ended: bool) {
        let Some(block) = self.blocks.get(&number) else { return };
        let submission = Submission {
            tag: block.solved.tag,
            block: block.assembled.block.clone(),
            verdicts: block.outstanding.verdicts(),
            refused: block.outstanding.standing(Instant::now()) == Standing::Refused,
            ended,
        };
        let _ = self.pool.send(Told::Submission(submission));
    }

    fn alarm(&self, kind: AlarmKind, text: String) {
        let _ = self.pool.send(Told::Alarm(kind, text));
    }
}

fn named(block: &Block) -> String {
    format!("block {} at {}", hex::encode(&block.assembled.block), block.solved.coord)
}
