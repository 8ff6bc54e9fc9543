//! An adapter at a scripted node, in virtual time: nothing waits, nothing depends on how busy the machine is, and two
//! recordings of one script are equal to the byte.
//!
//! A recording made here also holds what the node would have said to each call between any two steps of the script.
//! Nodes made from it (`world`) therefore answer an instance that asks at other moments than the recorded one did as
//! the scripted node would, and the checks that kill instances or lie are exact.

use super::assembled::{Candidate, rope};
use super::recording::{Known, Writer};
use super::world::{Asked, LATENCY_MS, asked};
use millpond_algorithms::Algorithms;
use millpond_chain::Version;
use millpond_contracts::chain::{
    Action, AdapterActor, Call, ChainAdapter, Event, Happening, Job, NodeError, NodeErrorKind, Output, Reply,
    Start, Watched,
};
use millpond_contracts::{CallError, Settings};
use millpond_recipe::Scratch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Hashes tried for one block: a script belongs to a network where every second one will do.
const TRIES: u32 = 1_000_000;
/// Events of one script.
const EVENTS: usize = 100_000;

/// What a node answers.
pub type Answer = Result<Vec<u8>, NodeError>;

/// A node that a script drives.
pub trait ScriptedNode {
    /// What it answers to a call in its present state: bytes of `result` as adapters get them. `None` while it has the
    /// caller wait for news (a longpoll). Asking changes nothing.
    fn answer(&mut self, transport: &str, method: &str, body: &[u8]) -> Option<Answer>;
    /// Takes the request that submits a solved block.
    fn submit(&mut self, transport: &str, method: &str, request: &[u8]) -> Answer;
}

/// Something that happens.
pub enum Step<N> {
    /// The node changes: a block, a reorganisation, a lie.
    Change(fn(&mut N)),
    /// A miner of ours solves the newest job, and the node gets the block.
    Solve,
    /// The node comes up or goes away.
    Link(bool),
}

/// A script: how its node is made anew, and what happens when, in milliseconds from the begin.
pub struct Script<'a, N> {
    /// A node in its first state. Two of them must be alike.
    pub node: &'a dyn Fn() -> N,
    /// In order of time.
    pub steps: Vec<(u64, Step<N>)>,
    /// Who is paid in the coinbase.
    pub outputs: Vec<Output>,
    /// Unix milliseconds at the begin.
    pub begin_ms: u64,
    /// The end, in milliseconds from the begin.
    pub length_ms: u64,
}

impl<N: ScriptedNode> Script<'_, N> {
    /// Plays the script to an adapter and gives the recording, as a file holds it.
    ///
    /// # Errors
    /// A trap, a job that cannot be solved, a block that the node does not take, or an adapter that does one thing and
    /// then another.
    pub fn record(&self, adapter: &Arc<dyn ChainAdapter>, settings: &Settings) -> Result<Vec<u8>, String> {
        let first = self.play(adapter, settings, BTreeSet::new())?;
        // Now that all calls are known: what each would have been answered at any time.
        let second = self.play(adapter, settings, first.asked)?;
        if first.events != second.events {
            return Err(
                "the same script led to other events: adapter or node are not deterministic".to_owned()
            );
        }
        let mut recording = second.events;
        let mut writer = Writer::continued(&mut recording);
        second.states.iter().try_for_each(|known| writer.state(known)).map_err(|error| error.to_string())?;
        Ok(recording)
    }

    fn play(
        &self,
        adapter: &Arc<dyn ChainAdapter>,
        settings: &Settings,
        known: BTreeSet<Asked>,
    ) -> Result<Played, String> {
        let version =
            Version::prepare(adapter.clone(), 1, &Algorithms::native(), &super::grants(adapter.as_ref()));
        let writer =
            Writer::new(Vec::new(), adapter.digest(), settings).map_err(|error| error.to_string())?;
        let mut play = Play {
            node: (self.node)(),
            version: version.map_err(|error| error.to_string())?,
            actor: adapter.start_actor().map_err(|error| error.to_string())?,
            writer,
            known,
            now: self.begin_ms,
            seq: 0,
            order: 0,
            due: BTreeMap::new(),
            timers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            bodies: BTreeMap::new(),
            newest: None,
            asked: BTreeSet::new(),
            states: Vec::new(),
        };
        let start = Start { revision: 1, outputs: self.outputs.clone(), ..Start::default() };
        play.give(Happening::Start(start))?;
        play.look();
        for at in 0..self.steps.len() {
            let when = self.steps.get(at).map_or(0, |(when, _)| *when);
            play.put(self.begin_ms.saturating_add(when), Due::Step(at));
        }
        let end = self.begin_ms.saturating_add(self.length_ms);
        let mut turns = 0;
        while let Some(((now, _), due)) = play.due.pop_first() {
            turns += 1;
            if now > end || turns > EVENTS {
                break;
            }
            play.now = now;
            match due {
                Due::Give(happening) => play.give(happening)?,
                Due::Ask(call) => play.ask(call),
                Due::Late(id) => play.late(id)?,
                Due::Step(at) => {
                    match self.steps.get(at).map(|(_, step)| step) {
                        Some(Step::Change(change)) => change(&mut play.node),
                        Some(Step::Solve) => play.solve()?,
                        Some(Step::Link(up)) => play.give(Happening::Link { link: 0, up: *up })?,
                        None => {}
                    }
                    play.look();
                    play.news();
                }
            }
        }
        if turns > EVENTS {
            return Err(format!("{EVENTS} turns and no end: it asks or sets timers without pause"));
        }
        let events = play.writer.into_inner().map_err(|error| error.to_string())?;
        Ok(Played { events, asked: play.asked, states: play.states })
    }
}

/// One play of a script.
struct Played {
    events: Vec<u8>,
    asked: BTreeSet<Asked>,
    states: Vec<Known>,
}

enum Due {
    Give(Happening),
    Ask(Call),
    /// A longpoll's time is over.
    Late(u64),
    Step(usize),
}

struct Play<N> {
    node: N,
    version: Arc<Version>,
    actor: Box<dyn AdapterActor>,
    writer: Writer<Vec<u8>>,
    /// Calls whose answers are noted after every step.
    known: BTreeSet<Asked>,
    now: u64,
    seq: u64,
    order: u64,
    due: BTreeMap<(u64, u64), Due>,
    timers: BTreeMap<u32, (u64, u64)>,
    waiting: BTreeMap<u64, Call>,
    bodies: BTreeMap<u64, Arc<Vec<u8>>>,
    newest: Option<(Job, Option<Arc<Vec<u8>>>)>,
    asked: BTreeSet<Asked>,
    states: Vec<Known>,
}

impl<N: ScriptedNode> Play<N> {
    fn put(&mut self, at: u64, due: Due) -> (u64, u64) {
        self.order += 1;
        self.due.insert((at, self.order), due);
        (at, self.order)
    }

    fn transport(&self, number: u16) -> String {
        let transports = &self.version.description().transports;
        transports.get(usize::from(number)).map(|transport| transport.name.clone()).unwrap_or_default()
    }

    fn answer(&mut self, (transport, method, body): &Asked) -> Option<Answer> {
        let name = self.transport(*transport);
        self.node.answer(&name, method, body)
    }

    /// Notes what the node would say now to each known call.
    fn look(&mut self) {
        for asked in self.known.clone() {
            let answer = self.answer(&asked);
            let (transport, method, body) = asked;
            self.states.push(Known { at_ms: self.now, transport, method, body, answer });
        }
    }

    /// Longpolls that the last step ended.
    fn news(&mut self) {
        for (id, call) in std::mem::take(&mut self.waiting) {
            match self.answer(&asked(&call)) {
                Some(answer) => {
                    let reply =
                        Happening::Reply(Reply { id, link: 0, outcome: answer.map(Into::into), body: 0 });
                    self.put(self.now + LATENCY_MS, Due::Give(reply));
                }
                None => drop(self.waiting.insert(id, call)),
            }
        }
    }

    fn ask(&mut self, call: Call) {
        match self.answer(&asked(&call)) {
            Some(outcome) => {
                let outcome = outcome.map(Into::into);
                let reply = Happening::Reply(Reply { id: call.id, link: 0, outcome, body: 0 });
                self.put(self.now, Due::Give(reply));
            }
            None => {
                let deadline = self.now + u64::from(call.timeout_ms);
                self.put(deadline, Due::Late(call.id));
                self.waiting.insert(call.id, call);
            }
        }
    }

    fn late(&mut self, id: u64) -> Result<(), String> {
        if self.waiting.remove(&id).is_none() {
            return Ok(());
        }
        let outcome = Err(silence());
        self.give(Happening::Reply(Reply { id, link: 0, outcome, body: 0 }))
    }

    /// Hands an event to the adapter, keeps it, and does what the adapter wants.
    fn give(&mut self, happening: Happening) -> Result<(), String> {
        self.seq += 1;
        if let Happening::Timer(id) = &happening {
            self.timers.remove(id);
        }
        let mut event = Event { seq: self.seq, now_ms: self.now, what: happening };
        if let Happening::Reply(reply) = &mut event.what
            && let Ok(bytes) = &reply.outcome
        {
            reply.body = self.seq;
            self.bodies = BTreeMap::from([(self.seq, Arc::new(bytes.to_vec()))]);
        }
        let outcome = self.actor.handle(&event);
        self.writer.step(&event, &outcome).map_err(|error| error.to_string())?;
        match outcome {
            Ok(done) => done.value.into_iter().for_each(|action| self.apply(action)),
            Err(error) if error.is_trap() => {
                return Err(format!("{}: {error}", super::world::named(&event.what)));
            }
            // Its own error: the event failed, none of its actions apply.
            Err(_) => {}
        }
        Ok(())
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Call(call) => {
                self.asked.insert(asked(&call));
                self.put(self.now + LATENCY_MS, Due::Ask(call));
            }
            Action::Timer { id, ms } => {
                if let Some(old) = self.timers.remove(&id) {
                    self.due.remove(&old);
                }
                if ms > 0 {
                    let at = self.put(self.now + u64::from(ms.max(10)), Due::Give(Happening::Timer(id)));
                    self.timers.insert(id, at);
                }
            }
            Action::Publish(job) => {
                let body = job.body.and_then(|number| self.bodies.get(&number).cloned());
                self.newest = Some((job, body));
            }
            _ => {}
        }
    }

    /// Solves the newest job, has the block followed, and hands it to the node.
    fn solve(&mut self) -> Result<(), String> {
        let (job, body) = self.newest.clone().ok_or("there is no job to solve")?;
        let recipe = self.version.recipes.get(usize::from(job.recipe)).ok_or("the job names no recipe")?;
        let stage = recipe.job(&job.consts).map_err(|error| error.to_string())?;
        let mut candidate = Candidate::new(&stage, &[])?;
        let mut scratch = Scratch::default();
        let mut tries = 0;
        while candidate.judge(&mut scratch)?.0.as_slice() > job.network_target.as_slice() {
            candidate.advance(1);
            tries += 1;
            if tries > TRIES {
                return Err(format!("no block at {} in {TRIES} hashes", job.coord));
            }
        }
        let solution = candidate.solution(job.private.clone())?;
        let done =
            self.version.adapter.assemble(&solution).map_err(|error: CallError| error.to_string())?.value;
        let request = rope(&done.request, body.as_deref().map(Vec::as_slice))?;
        let name = self.transport(done.transport);
        let reply = self.node.submit(&name, &done.method, &request).map_err(|error| error.message)?;
        let (verdict, words) =
            self.version.adapter.read_reply(&done.method, &reply).map_err(|error| error.to_string())?.value;
        if verdict != millpond_contracts::chain::Verdict::Accepted {
            return Err(format!("the node did not take the block at {}: {words}", job.coord));
        }
        let watched = Watched { block: done.block, coord: job.coord, since_ms: self.now, saved: job.private };
        self.give(Happening::Watch(watched))
    }
}

/// What a node that answered nothing is taken to have said.
pub(super) fn silence() -> NodeError {
    NodeError { kind: NodeErrorKind::Timeout, code: 0, message: "no answer in time".to_owned() }
}
