//! Nodes made from a recording. They answer a call as the real ones did at that time; time is that of the recording,
//! and nothing waits.

use super::recording::{Recording, Step};
use crate::rng::Rng;
use millpond_contracts::chain::{
    Action, AdapterActor, Call, ChainAdapter, Event, Fate, Happening, IncomeAt, Job, NodeError,
    NodeErrorKind, Reply, Start, Watched,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Events that one run may take: an adapter that asks without end is stopped.
const EVENTS: usize = 100_000;
/// A call that waits longer than this is a longpoll: it is not answered from the past.
const LONG: u32 = 30_000;

/// What the event is, for people.
pub(super) fn named(what: &Happening) -> String {
    match what {
        Happening::Start(_) => "start".to_owned(),
        Happening::Link { link, up } => format!("link {link} {}", if *up { "up" } else { "down" }),
        Happening::Reply(reply) => format!("reply to call {}", reply.id),
        Happening::Push(push) => format!("push {}", push.topic),
        Happening::Timer(id) => format!("timer {id}"),
        Happening::Outputs { .. } => "outputs".to_owned(),
        Happening::Aux { .. } => "aux".to_owned(),
        Happening::Watch(_) => "watch".to_owned(),
        Happening::Other(name, _) => format!("other {name}"),
    }
}

/// What a node says instead of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    Garbage,
    Cut,
    Null,
    Empty,
    Error,
    Bent(u64),
}

impl Lie {
    pub(super) const PLAIN: [Self; 5] = [Self::Garbage, Self::Cut, Self::Null, Self::Empty, Self::Error];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::Cut => "half of the answer",
            Self::Null => "null",
            Self::Empty => "nothing",
            Self::Error => "an error",
            Self::Bent(_) => "changed bytes",
        }
    }

    fn of(self, truth: &Result<Vec<u8>, NodeError>) -> Result<Vec<u8>, NodeError> {
        let bytes = || truth.clone().unwrap_or_default();
        match self {
            Self::Garbage => Ok(vec![0xff, 0x00, b'{', b'"', 0x80]),
            Self::Cut => {
                let mut bytes = bytes();
                bytes.truncate(bytes.len() / 2);
                Ok(bytes)
            }
            Self::Null => Ok(b"null".to_vec()),
            Self::Empty => Ok(Vec::new()),
            Self::Error => Err(NodeError {
                kind: NodeErrorKind::Rpc,
                code: -32_603,
                message: "internal error".to_owned(),
            }),
            Self::Bent(seed) => {
                let mut bytes = bytes();
                let mut rng = Rng::new(seed, "bent");
                for _ in 0..rng.within(1, 4) {
                    let at = rng.below(bytes.len() as u64) as usize;
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = [b'0', b'9', b'"', b'}', b'f', b'-', 0xff]
                            .get(rng.below(7) as usize)
                            .copied()
                            .unwrap_or(0);
                    }
                }
                Ok(bytes)
            }
        }
    }
}

/// A call as nodes know it.
type Asked = (u16, String, Vec<u8>);

/// A recorded answer.
struct Answer {
    at_ms: u64,
    link: u16,
    outcome: Result<Vec<u8>, NodeError>,
}

/// The nodes and the pool of a recording.
pub(super) struct World<'a> {
    start: Start,
    /// What came from outside, in order: links, pushes, outputs, blocks of ours.
    outside: Vec<(u64, &'a Happening)>,
    answers: BTreeMap<Asked, Vec<Answer>>,
    from_ms: u64,
    to_ms: u64,
}

/// What an income became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Earned {
    amount: u64,
    at: IncomeAt,
    pub(super) mature: bool,
    pub(super) lost: bool,
}

/// What a run came to.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) events: usize,
    /// Each job with the bytes it kept.
    pub(super) jobs: Vec<(Job, Option<Arc<Vec<u8>>>)>,
    pub(super) incomes: BTreeMap<Vec<u8>, Earned>,
    fates: BTreeMap<Vec<u8>, Fate>,
    /// Incomes taken back.
    pub(super) lost: usize,
    /// Calls that the recording has no answer to.
    pub(super) unanswered: usize,
}

impl Facts {
    fn work(&self) -> BTreeSet<(&[u8], u64)> {
        self.jobs.iter().map(|(job, _)| (job.parent.as_slice(), job.coord)).collect()
    }

    /// No work and no money that the straight run does not know.
    pub(super) fn nothing_new(&self, straight: &Self) -> Result<(), String> {
        let known = straight.work();
        if let Some((parent, coord)) = self.work().into_iter().find(|work| !known.contains(work)) {
            return Err(format!(
                "it published work at {coord} on {}, which there never was",
                hex::encode(parent)
            ));
        }
        for (key, income) in &self.incomes {
            match straight.incomes.get(key) {
                Some(honest) if honest.amount == income.amount && honest.at == income.at => {}
                other => {
                    let key = hex::encode(key);
                    return Err(format!("income {key} of {}, without lies {other:?}", income.amount));
                }
            }
        }
        Ok(())
    }

    /// The same blocks, incomes and newest work.
    pub(super) fn same_end(&self, straight: &Self) -> Result<(), String> {
        self.nothing_new(straight)?;
        let newest = |facts: &Self| {
            facts.jobs.last().map(|(job, _)| (job.parent.clone(), job.coord, job.network_target.clone()))
        };
        if newest(self) != newest(straight) {
            let coord = |facts: &Self| facts.jobs.last().map(|(job, _)| job.coord);
            return Err(format!(
                "the newest work is at {:?}, it should be at {:?}",
                coord(self),
                coord(straight)
            ));
        }
        if self.incomes != straight.incomes {
            let (own, other) = (&self.incomes, &straight.incomes);
            let differs = other.iter().find(|(key, income)| own.get(*key) != Some(income));
            let told = differs.map(|(key, income)| (hex::encode(key), income, own.get(key)));
            return Err(format!("incomes differ (key, straight, here): {told:?}"));
        }
        if self.fates != straight.fates {
            return Err(format!(
                "fates of blocks differ: {:?} and straight {:?}",
                self.fates, straight.fates
            ));
        }
        Ok(())
    }
}

impl<'a> World<'a> {
    pub(super) fn of(recording: &'a Recording) -> Self {
        let mut world = Self {
            start: Start::default(),
            outside: Vec::new(),
            answers: BTreeMap::new(),
            from_ms: 0,
            to_ms: 0,
        };
        let mut calls: BTreeMap<u64, Asked> = BTreeMap::new();
        let mut starts = 0;
        for Step { event, outcome } in recording.steps() {
            world.to_ms = world.to_ms.max(event.now_ms);
            match &event.what {
                Happening::Start(start) => {
                    calls.clear();
                    if starts == 0 {
                        world.start = start.clone();
                        world.from_ms = event.now_ms;
                    }
                    starts += 1;
                }
                Happening::Reply(reply) => {
                    if let Some(asked) = calls.remove(&reply.id) {
                        let (at_ms, link, outcome) = (event.now_ms, reply.link, reply.outcome.clone());
                        world.answers.entry(asked).or_default().push(Answer { at_ms, link, outcome });
                    }
                }
                Happening::Timer(_) => {}
                // The links of a later start are told again by us.
                Happening::Link { .. } if starts > 1 => {}
                outside => world.outside.push((event.now_ms, outside)),
            }
            for action in outcome.iter().flatten() {
                if let Action::Call(call) = action {
                    calls.insert(call.id, asked(call));
                }
            }
        }
        world
    }

    /// Methods that were answered, each once.
    pub(super) fn methods(&self) -> Vec<String> {
        let methods: BTreeSet<&String> = self.answers.keys().map(|asked| &asked.1).collect();
        methods.into_iter().cloned().collect()
    }

    /// Runs an adapter from the recording's begin to its end; kills its instance before event `kill`; nodes lie to
    /// the calls of one method during the middle third of the time.
    ///
    /// # Errors
    /// A trap, or an adapter that never stops asking.
    pub(super) fn run(
        &self,
        adapter: &dyn ChainAdapter,
        kill: Option<usize>,
        lie: Option<(&str, Lie)>,
    ) -> Result<Facts, String> {
        let mut run = Run {
            world: self,
            lie,
            actor: adapter.start_actor().map_err(|error| error.to_string())?,
            seq: 0,
            order: 0,
            due: BTreeMap::new(),
            timers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            facts: Facts::default(),
            start: self.start.clone(),
            up: BTreeSet::new(),
        };
        let begin = Happening::Start(self.start.clone());
        run.give(self.from_ms, &begin)?;
        for (at, happening) in &self.outside {
            run.put(*at, (*happening).clone());
        }
        let mut killed = false;
        while let Some(((now, _), happening)) = run.due.pop_first() {
            if now > self.to_ms {
                break;
            }
            if kill == Some(run.facts.events) && !killed {
                killed = true;
                run.actor = adapter.start_actor().map_err(|error| error.to_string())?;
                run.restart(now)?;
                if matches!(happening, Happening::Reply(_) | Happening::Timer(_)) {
                    // It was for the instance that is gone.
                    continue;
                }
            }
            run.note(&happening);
            run.give(now, &happening)?;
            if run.facts.events > EVENTS {
                return Err(format!("{EVENTS} events and no end: it asks or sets timers without pause"));
            }
        }
        Ok(run.facts)
    }
}

fn asked(call: &Call) -> Asked {
    (call.transport, call.method.clone(), call.body.clone())
}

struct Run<'a> {
    world: &'a World<'a>,
    lie: Option<(&'a str, Lie)>,
    actor: Box<dyn AdapterActor>,
    seq: u64,
    order: u64,
    /// By time, then in the order they were put.
    due: BTreeMap<(u64, u64), Happening>,
    /// Where each timer stands in `due`.
    timers: BTreeMap<u32, (u64, u64)>,
    bodies: BTreeMap<u64, Arc<Vec<u8>>>,
    facts: Facts,
    /// What an instance would start from now.
    start: Start,
    up: BTreeSet<u16>,
}

impl Run<'_> {
    fn put(&mut self, at: u64, happening: Happening) -> (u64, u64) {
        self.order += 1;
        self.due.insert((at, self.order), happening);
        (at, self.order)
    }

    /// What the host remembers of an event, for the next instance.
    fn note(&mut self, happening: &Happening) {
        match happening {
            Happening::Link { link, up: true } => drop(self.up.insert(*link)),
            Happening::Link { link, up: false } => drop(self.up.remove(link)),
            Happening::Outputs { revision, outputs } => {
                (self.start.revision, self.start.outputs) = (*revision, outputs.clone());
            }
            Happening::Aux { revision, aux } => {
                (self.start.revision, self.start.aux) = (*revision, aux.clone());
            }
            Happening::Watch(watched) => self.start.watching.push(watched.clone()),
            _ => {}
        }
    }

    /// The old instance's timers and calls are nothing to the new one.
    fn restart(&mut self, now: u64) -> Result<(), String> {
        self.due.retain(|_, happening| !matches!(happening, Happening::Timer(_) | Happening::Reply(_)));
        self.timers.clear();
        self.seq = 0;
        let unsettled = |watched: &Watched| self.facts.fates.get(&watched.block) != Some(&Fate::Final);
        let watching = self.start.watching.iter().filter(|watched| unsettled(watched)).cloned().collect();
        let start = Start { watching, ..self.start.clone() };
        self.give(now, &Happening::Start(start))?;
        let up: Vec<u16> = self.up.iter().copied().collect();
        up.into_iter().try_for_each(|link| self.give(now, &Happening::Link { link, up: true }))
    }

    fn give(&mut self, now: u64, happening: &Happening) -> Result<(), String> {
        self.seq += 1;
        self.facts.events += 1;
        if let Happening::Timer(id) = happening {
            self.timers.remove(id);
        }
        let mut event = Event { seq: self.seq, now_ms: now, what: happening.clone() };
        let body = match &mut event.what {
            Happening::Reply(reply) => {
                reply.outcome.as_ref().ok().map(|bytes| (&mut reply.body, bytes.clone()))
            }
            Happening::Push(push) => Some((&mut push.body, push.data.clone())),
            _ => None,
        };
        let mut kept = None;
        if let Some((number, bytes)) = body {
            *number = self.order + 1_000_000;
            kept = Some((*number, Arc::new(bytes)));
        }
        let outcome = self.actor.handle(&event);
        let actions = match outcome {
            Ok(done) => done.value,
            Err(error) if error.is_trap() => {
                return Err(format!("{} made it trap: {error}", named(happening)));
            }
            // Its own error: the event failed, none of its actions apply.
            Err(_) => Vec::new(),
        };
        if let Some((number, bytes)) = kept {
            self.bodies = BTreeMap::from([(number, bytes)]);
        }
        actions.into_iter().for_each(|action| self.apply(now, action));
        Ok(())
    }

    fn apply(&mut self, now: u64, action: Action) {
        match action {
            Action::Call(call) => self.call(now, &call),
            Action::Timer { id, ms } => {
                if let Some(old) = self.timers.remove(&id) {
                    self.due.remove(&old);
                }
                if ms > 0 {
                    let at = self.put(now + u64::from(ms.max(10)), Happening::Timer(id));
                    self.timers.insert(id, at);
                }
            }
            Action::Publish(job) => {
                let body = job.body.and_then(|number| self.bodies.get(&number).cloned());
                self.facts.jobs.push((job, body));
            }
            Action::Fate { block, fate } => drop(self.facts.fates.insert(block, fate)),
            Action::Income(income) => {
                let known = self.facts.incomes.get(&income.key);
                let mature = income.mature || known.is_some_and(|known| known.mature && !known.lost);
                let earned = Earned { amount: income.amount.0, at: income.at, mature, lost: false };
                self.facts.incomes.insert(income.key, earned);
            }
            Action::IncomeLost(key) => {
                self.facts.lost += 1;
                if let Some(income) = self.facts.incomes.get_mut(&key) {
                    income.lost = true;
                }
            }
            Action::Save(bytes) => self.start.saved = bytes,
            Action::Send { .. }
            | Action::Tip { .. }
            | Action::Unfit { .. }
            | Action::Alarm { .. }
            | Action::Other(..) => {}
        }
    }

    /// The first answer that came at or after the call, within its time; else the newest before it; a longpoll waits.
    fn call(&mut self, now: u64, call: &Call) {
        let fits = |answer: &&Answer| call.link.is_none_or(|link| link == answer.link);
        let known = self.world.answers.get(&asked(call));
        let answers = || known.into_iter().flatten().filter(fits);
        let deadline = now + u64::from(call.timeout_ms);
        let next = answers().find(|answer| answer.at_ms >= now && answer.at_ms <= deadline);
        let earlier = answers().rfind(|answer| answer.at_ms < now).filter(|_| call.timeout_ms <= LONG);
        let (at, link, outcome) = match next.or(earlier) {
            Some(answer) => (answer.at_ms.max(now + 1), answer.link, answer.outcome.clone()),
            None => {
                if call.timeout_ms <= LONG && known.is_none() {
                    self.facts.unanswered += 1;
                }
                let message = "no answer in time".to_owned();
                let error = NodeError { kind: NodeErrorKind::Timeout, code: 0, message };
                (deadline, call.link.unwrap_or(0), Err(error))
            }
        };
        let third = (self.world.to_ms - self.world.from_ms) / 3;
        let middle = self.world.from_ms + third..self.world.to_ms - third;
        let outcome = match self.lie {
            Some((method, lie)) if method == call.method && middle.contains(&at) => lie.of(&outcome),
            _ => outcome,
        };
        self.put(at, Happening::Reply(Reply { id: call.id, link, outcome, body: 0 }));
    }
}
