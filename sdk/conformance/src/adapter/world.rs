//! Nodes made from a recording. They answer a call as the real ones did at that time; time is that of the recording,
//! and nothing waits.

use super::facts::{Earned, Facts};
use super::lie::Lie;
use super::recording::{Recording, Step};
use super::script::silence;
use millpond_contracts::chain::{
    Action, AdapterActor, Call, ChainAdapter, Event, Fate, Happening, NodeError, Reply, Start, Watched,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Events that one run may take: an adapter that asks without end is stopped.
const EVENTS: usize = 100_000;
/// What a call takes to a scripted node, and its answer back from one that had it wait.
pub(super) const LATENCY_MS: u64 = 1;
/// A call that waits longer than this is a longpoll.
const LONG: u32 = 30_000;
/// After the recording's end the nodes say for a while what they said last, so that an instance that was killed late
/// catches up.
const GRACE_MS: u64 = 120_000;

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

/// A call as nodes know it.
pub(super) type Asked = (u16, String, Vec<u8>);

/// What a scripted node says to a call, by the time from which on it says it; `None` has the caller wait.
type Timeline = Vec<(u64, Option<Arc<Result<Vec<u8>, NodeError>>>)>;

/// A recorded answer.
#[derive(Clone)]
struct Answer {
    at_ms: u64,
    link: u16,
    outcome: Arc<Result<Vec<u8>, NodeError>>,
}

/// What kind of value an answer is: the names of an object's members, or the first byte of anything else.
fn shape(outcome: &Result<Vec<u8>, NodeError>) -> Option<String> {
    let bytes = outcome.as_ref().ok()?;
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(serde_json::Value::Object(members)) => Some(members.keys().cloned().collect::<Vec<_>>().join(",")),
        _ => bytes.first().map(|byte| byte.to_string()),
    }
}

/// The nodes and the pool of a recording.
pub(super) struct World<'a> {
    start: Start,
    /// What came from outside, in order: links, pushes, outputs, blocks of ours.
    outside: Vec<(u64, &'a Happening)>,
    answers: BTreeMap<Asked, Vec<Answer>>,
    /// Of methods that are longpolled: all answers of the kind that the longpoll gets, whatever was asked. A node
    /// answers with its newest state, not with what the same words got long ago.
    states: BTreeMap<(u16, String), (BTreeSet<String>, Vec<Answer>)>,
    /// Of a scripted node: everything that it says.
    script: BTreeMap<Asked, Timeline>,
    from_ms: u64,
    to_ms: u64,
}

impl<'a> World<'a> {
    pub(super) fn of(recording: &'a Recording) -> Self {
        let mut world = Self {
            start: Start::default(),
            outside: Vec::new(),
            answers: BTreeMap::new(),
            states: BTreeMap::new(),
            script: BTreeMap::new(),
            from_ms: 0,
            to_ms: 0,
        };
        let mut long: BTreeSet<Asked> = BTreeSet::new();
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
                        let (at_ms, link, outcome) =
                            (event.now_ms, reply.link, Arc::new(reply.outcome.clone().map(Vec::from)));
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
                    if call.timeout_ms > LONG {
                        long.insert(asked(call));
                    }
                    calls.insert(call.id, asked(call));
                }
            }
        }
        world.collect_states(&long);
        for known in recording.states() {
            let asked = (known.transport, known.method.clone(), known.body.clone());
            let answer = known.answer.clone().map(Arc::new);
            world.script.entry(asked).or_default().push((known.at_ms, answer));
        }
        world
    }

    /// Whether it knows what its nodes say at any moment.
    pub(super) fn is_exact(&self) -> bool {
        !self.script.is_empty()
    }

    fn collect_states(&mut self, long: &BTreeSet<Asked>) {
        for ((transport, method, _), answers) in
            self.answers.iter().filter(|(asked, _)| long.contains(*asked))
        {
            let state = self.states.entry((*transport, method.clone())).or_default();
            state.0.extend(answers.iter().filter_map(|answer| shape(&answer.outcome)));
        }
        for ((transport, method, _), answers) in &self.answers {
            let Some((shapes, state)) = self.states.get_mut(&(*transport, method.clone())) else { continue };
            let same =
                answers.iter().filter(|answer| shape(&answer.outcome).is_some_and(|s| shapes.contains(&s)));
            state.extend(same.cloned());
        }
        for (_, state) in self.states.values_mut() {
            state.sort_by_key(|answer| answer.at_ms);
        }
    }

    /// The states that a call is answered from beside its own answers.
    fn states_of(&self, asked: &Asked, long: bool) -> &[Answer] {
        let Some((shapes, state)) = self.states.get(&(asked.0, asked.1.clone())) else { return &[] };
        let own = self.answers.get(asked).and_then(|answers| answers.iter().find_map(|a| shape(&a.outcome)));
        if long || own.is_some_and(|own| shapes.contains(&own)) { state } else { &[] }
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
            waited: BTreeMap::new(),
        };
        let begin = Happening::Start(self.start.clone());
        run.give(self.from_ms, &begin)?;
        for (at, happening) in &self.outside {
            run.put(*at, (*happening).clone());
        }
        let mut killed = false;
        while let Some(((now, _), happening)) = run.due.pop_first() {
            if now > self.to_ms + GRACE_MS {
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
            if now <= self.to_ms {
                run.facts.recorded = run.facts.events;
            }
            if run.facts.events > EVENTS {
                return Err(format!("{EVENTS} events and no end: it asks or sets timers without pause"));
            }
        }
        Ok(run.facts)
    }
}

pub(super) fn asked(call: &Call) -> Asked {
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
    /// The newest answer that a longpoll of this instance got, by its time.
    waited: BTreeMap<(u16, String), u64>,
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
        self.waited.clear();
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
                reply.outcome.as_ref().ok().map(|bytes| (&mut reply.body, bytes.to_vec()))
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

    fn call(&mut self, now: u64, call: &Call) {
        let (at, link, outcome) =
            if self.world.is_exact() { self.scripted(now, call) } else { self.recorded(now, call) };
        let third = (self.world.to_ms - self.world.from_ms) / 3;
        let middle = self.world.from_ms + third..self.world.to_ms - third;
        let outcome = match self.lie {
            Some((method, lie)) if method == call.method && middle.contains(&at) => lie.of(&outcome),
            _ => outcome,
        };
        self.put(
            at,
            Happening::Reply(Reply { id: call.id, link, outcome: outcome.map(Into::into), body: 0 }),
        );
    }

    fn unanswered(&mut self, call: &Call) {
        self.facts.unanswered += 1;
        let body = String::from_utf8_lossy(&call.body).chars().take(200).collect::<String>();
        self.facts.first_unanswered.get_or_insert_with(|| format!("{} {body}", call.method));
    }

    /// What the scripted node says when the call arrives; where it has the caller wait, what it says as soon as it does.
    fn scripted(&mut self, now: u64, call: &Call) -> (u64, u16, Result<Vec<u8>, NodeError>) {
        let (arrives, deadline) = (now + LATENCY_MS, now + LATENCY_MS + u64::from(call.timeout_ms));
        let link = call.link.unwrap_or(0);
        let Some(timeline) = self.world.script.get(&asked(call)) else {
            self.unanswered(call);
            return (deadline, link, Err(silence()));
        };
        let begin = timeline.iter().rposition(|(since, _)| *since <= arrives).unwrap_or(0);
        let said = timeline.iter().skip(begin).find_map(|(since, said)| Some((*since, said.clone()?)));
        match said {
            Some((since, said)) if since <= arrives => (arrives, link, said.as_ref().clone()),
            Some((since, said)) if since + LATENCY_MS <= deadline => {
                (since + LATENCY_MS, link, said.as_ref().clone())
            }
            _ => (deadline, link, Err(silence())),
        }
    }

    /// The first answer that came at or after the call, within its time; else the newest before it. A longpoll gets an
    /// answer of the past once: what it waited for has happened already.
    fn recorded(&mut self, now: u64, call: &Call) -> (u64, u16, Result<Vec<u8>, NodeError>) {
        let asked = asked(call);
        let fits = |answer: &&Answer| call.link.is_none_or(|link| link == answer.link);
        let known = self.world.answers.get(&asked);
        let answers = || known.into_iter().flatten().filter(fits);
        let deadline = now + u64::from(call.timeout_ms);
        let long = call.timeout_ms > LONG;
        let waited = self.waited.get(&(asked.0, asked.1.clone())).copied().unwrap_or(0);
        let states = self.world.states_of(&asked, long);
        let newest =
            |answer: &&Answer| answer.at_ms < now && (!long || answer.at_ms > waited) && fits(answer);
        let next = answers().find(|answer| answer.at_ms >= now && answer.at_ms <= deadline);
        let earlier = match states.iter().rfind(newest) {
            Some(state) => Some(state),
            None => answers().rfind(newest),
        };
        let later =
            states.iter().find(|answer| answer.at_ms >= now && answer.at_ms <= deadline && fits(answer));
        // Between two recorded answers that differ, nobody knows when the one gave way to the other.
        let sure = next.is_some_and(|next| earlier.is_none_or(|earlier| earlier.outcome == next.outcome));
        if !sure {
            self.facts.guessed += 1;
        }
        match next.or(earlier).or(later) {
            Some(answer) => {
                if long {
                    self.waited.insert((asked.0, asked.1), answer.at_ms);
                }
                (answer.at_ms.max(now + 1), answer.link, answer.outcome.as_ref().clone())
            }
            None => {
                // A call in flight at the end of the recording was never answered to anybody.
                if !long && known.is_none() && now + 1_000 < self.world.to_ms {
                    self.unanswered(call);
                }
                (deadline, call.link.unwrap_or(0), Err(silence()))
            }
        }
    }
}
