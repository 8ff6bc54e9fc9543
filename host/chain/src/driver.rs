//! The actor's thread: events in, checked actions out; restart after a trap, quarantine, swap.

mod apply;
mod barred;

use crate::bodies::Bodies;
use crate::effects::{Effect, ListChecks, ListRefused};
use crate::handle::{Recorder, Shared};
use crate::instance::{Clock, Instance, input};
use crate::job::Checks;
use crate::outputs::Revisions;
use crate::port::NodeAnswer;
use crate::queue::Input;
use crate::sink::{Alarm, AlarmKind};
use crate::trust::{RecentRewards, Trust};
use crate::version::Version;
use apply::refusal;
use barred::Barred;
use bytes::Bytes;
use millpond_contracts::chain::{Happening, NodeErrorKind, Push, Reply, Start};
use millpond_contracts::{CallError, TrapKind};
use millpond_runtime::strikes::{Decision, FIRST_BACKOFF, LONGEST_BACKOFF, Strikes};
use millpond_types::{Digest, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Effects that a version which does not lead yet may hold back.
const HELD: usize = 1024;

/// The newest push of every (link, transport, topic), and the state of every link: what a new instance is told after
/// its start.
#[derive(Default)]
struct Ring {
    up: BTreeMap<u16, bool>,
    pushes: BTreeMap<(u16, String, String), Bytes>,
}

/// Topics remembered; a node with more is remembered in part.
const TOPICS: usize = 256;

/// Instances of an adapter's algorithms that have hashed nothing for so long are given back.
const IDLE: Duration = Duration::from_secs(300);
/// They are looked for this often.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// Alarms of an adapter's making that are shown in a span.
const ALARMS: u32 = 16;
/// The span.
const ALARM_SPAN: Duration = Duration::from_secs(10);

struct Alarms {
    since: Instant,
    shown: u32,
    dropped: u64,
}

impl Default for Alarms {
    fn default() -> Self {
        Self { since: Instant::now(), shown: 0, dropped: 0 }
    }
}

struct Candidate {
    instance: Instance,
    /// What it reported beside its own calls and timers, by event.
    held: Vec<Vec<Effect>>,
    deadline: Instant,
    done: SyncSender<Result<(), String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Lead,
    Candidate,
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    trust: Trust,
    recorder: Option<Arc<dyn Recorder>>,
    swap_time: Duration,
    renew_after: u64,
    version: Arc<Version>,
    lead: Option<Instance>,
    previous: Option<Arc<Version>>,
    candidate: Option<Candidate>,
    restart_at: Option<Instant>,
    idle_look: Instant,
    refusals: u32,
    quarantined: bool,
    saved: Vec<u8>,
    revisions: Revisions,
    recent: RecentRewards,
    bodies: Bodies,
    ring: Ring,
    barred: Barred,
    strikes: Strikes,
    delayed: Vec<(Instant, Input)>,
    instances: u64,
    clock: Clock,
    alarms: Alarms,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        trust: Trust,
        recorder: Option<Arc<dyn Recorder>>,
        (swap_time, renew_after): (Duration, u64),
        version: Arc<Version>,
        saved: Vec<u8>,
        revisions: Revisions,
    ) -> Self {
        Self {
            shared,
            trust,
            recorder,
            swap_time,
            renew_after,
            version,
            lead: None,
            previous: None,
            candidate: None,
            restart_at: Some(Instant::now()),
            idle_look: Instant::now(),
            refusals: 0,
            quarantined: false,
            saved,
            revisions,
            recent: RecentRewards::default(),
            bodies: Bodies::default(),
            ring: Ring::default(),
            barred: Barred::default(),
            strikes: Strikes::new(),
            delayed: Vec::new(),
            instances: 0,
            clock: Clock::new(),
            alarms: Alarms::default(),
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        loop {
            match self.shared.queue.next(self.deadline()) {
                Some(Input::Stop) => return,
                Some(input) => {
                    let span = input.span(self.version.origin.adapter);
                    span.in_scope(|| self.input(input));
                }
                None => {}
            }
            let adapter = self.version.origin.adapter;
            let clock = tracing::debug_span!("chain", event = "clock", adapter = %adapter.short());
            clock.in_scope(|| {
                self.clock();
                self.renew();
            });
            self.bodies.forget();
        }
    }

    /// Between two events: a leader that has had its number of them gives way to a fresh instance of the same version,
    /// which is greeted as after a trap, so that it knows what the old one knew. While a swap is under way, or where no
    /// instance is to be had, the old one goes on.
    fn renew(&mut self) {
        let due = |lead: &Instance| self.renew_after > 0 && lead.events() >= self.renew_after;
        if self.candidate.is_some() || !self.lead.as_ref().is_some_and(due) {
            return;
        }
        match self.version.adapter.start_actor() {
            Ok(actor) => {
                self.shared.status.lock().renewed += 1;
                self.instances += 1;
                self.lead = Some(Instance::new(self.instances, Arc::clone(&self.version), actor));
                self.greet(Who::Lead);
            }
            Err(why) => {
                tracing::warn!(%why, "the adapter's instance goes on, a fresh one could not be started");
                if let Some(lead) = &mut self.lead {
                    lead.forgive();
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let lead = self.lead.as_ref().and_then(Instance::next_due);
        let candidate =
            self.candidate.as_ref().map(|c| c.instance.next_due().map_or(c.deadline, |d| d.min(c.deadline)));
        let delayed = self.delayed.iter().map(|(at, _)| *at).min();
        let barred = self.barred.next_due();
        let others = [lead, candidate, delayed, barred, self.restart_at];
        others.into_iter().flatten().chain([self.idle_look]).min()
    }

    /// What time alone brings: timers, restarts, a candidate that took too long, maturity that was waited for.
    fn clock(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.delayed.iter().position(|(at, _)| *at <= now) {
            let (_, input) = self.delayed.swap_remove(at);
            self.input(input);
        }
        self.unbar(now);
        if self.idle_look <= now {
            self.idle_look = now + IDLE_LOOK;
            let versions = self.shared.versions.lock().clone();
            versions.iter().for_each(|version| version.adapter.rest(IDLE));
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.start_lead();
        }
        // Each due timer once per turn: one that sets itself again waits for the next.
        for _ in 0..crate::effects::TIMERS {
            let Some(id) = self.lead.as_mut().and_then(|lead| lead.due(now)) else { break };
            self.deliver(Who::Lead, Happening::Timer(id));
        }
        for _ in 0..crate::effects::TIMERS {
            let Some(id) = self.candidate.as_mut().and_then(|c| c.instance.due(now)) else { break };
            self.deliver(Who::Candidate, Happening::Timer(id));
        }
        if self.candidate.as_ref().is_some_and(|candidate| candidate.deadline <= now) {
            let seconds = self.swap_time.as_secs();
            self.fail_candidate(&format!("it published no valid job within {seconds} s"));
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Link { link, up } => {
                self.ring.up.insert(link, up);
                // The host's own word: the adapter may have nothing to ask of it, or hear of this first.
                if !up {
                    self.shared
                        .sink
                        .unfit(link, "it cannot be reached; is it running, and is its address right?");
                }
                if !self.barred.contains(link) {
                    self.both(&Happening::Link { link, up });
                }
                if !up {
                    self.hang_up(link);
                }
            }
            Input::Push { link, transport, topic, data } => {
                let key = (link, transport.clone(), topic.clone());
                if self.ring.pushes.len() < TOPICS || self.ring.pushes.contains_key(&key) {
                    self.ring.pushes.insert(key, data.clone());
                }
                let body = self.bodies.keep(data.clone());
                for who in [Who::Lead, Who::Candidate] {
                    self.push_to(who, link, &transport, &topic, &data, body);
                }
            }
            Input::Reply { instance, id, call, answer } => self.reply(instance, id, call, answer),
            Input::Outputs(outputs) => {
                let revision = self.revisions.set_outputs(outputs.clone());
                self.both(&Happening::Outputs { revision, outputs });
            }
            Input::Aux(aux) => {
                let revision = self.revisions.set_aux(aux.clone());
                self.both(&Happening::Aux { revision, aux });
            }
            Input::Watch { watched, reward } => {
                self.shared.book.lock().block(watched.clone(), reward);
                self.both(&Happening::Watch(watched));
            }
            Input::Swap { version, done } => self.swap(version, done),
            Input::Release => {
                self.strikes.release(self.version.origin.adapter);
                self.quarantined = false;
                if self.lead.is_none() {
                    self.restart_at = Some(Instant::now());
                }
            }
            Input::Wake | Input::Stop => {
                let matured = self.shared.book.lock().matured(&self.trust);
                matured.into_iter().for_each(|income| self.shared.sink.income(income));
            }
        }
    }

    fn both(&mut self, what: &Happening) {
        self.deliver(Who::Lead, what.clone());
        self.deliver(Who::Candidate, what.clone());
    }

    fn instance(&mut self, who: Who) -> Option<&mut Instance> {
        match who {
            Who::Lead => self.lead.as_mut(),
            Who::Candidate => self.candidate.as_mut().map(|candidate| &mut candidate.instance),
        }
    }

    fn push_to(&mut self, who: Who, link: u16, transport: &str, topic: &str, data: &Bytes, body: u64) {
        if self.barred.contains(link) {
            return;
        }
        let Some(instance) = self.instance(who) else { return };
        // A version that did not ask for this topic does not hear of it.
        let Some(number) = instance.version.granted.topic(transport, topic) else { return };
        let (topic, data) = (topic.to_owned(), data.to_vec());
        self.deliver(who, Happening::Push(Push { link, transport: number, topic, data, body }));
    }

    /// Calls in flight to a node that went down are answered now, not when they time out: a longpoll waits for minutes.
    fn hang_up(&mut self, link: u16) {
        for who in [Who::Lead, Who::Candidate] {
            let Some(instance) = self.instance(who) else { continue };
            let (instance, calls) = (instance.id, instance.calls_to(link));
            for (id, call) in calls {
                let answer = refusal(Some(link), NodeErrorKind::Unreachable, "the node went down meanwhile");
                self.reply(instance, id, call, answer);
            }
        }
    }

    fn reply(&mut self, instance: u64, id: u64, call: u64, answer: NodeAnswer) {
        let who = if self.lead.as_ref().is_some_and(|lead| lead.id == instance) {
            Who::Lead
        } else if self.candidate.as_ref().is_some_and(|candidate| candidate.instance.id == instance) {
            Who::Candidate
        } else {
            return; // The instance that asked is gone.
        };
        if !self.instance(who).is_some_and(|instance| instance.answered(id, call)) {
            return; // It was answered for the node when that went down.
        }
        let body = match &answer.outcome {
            Ok(bytes) => self.bodies.keep(bytes.clone()),
            Err(_) => 0,
        };
        self.deliver(who, Happening::Reply(Reply { id, link: answer.link, outcome: answer.outcome, body }));
    }

    /// Hands an event to an instance, if there is one, and applies what it wants.
    fn deliver(&mut self, who: Who, what: Happening) {
        let recorder = self.recorder.clone();
        let now_ms = self.clock.now();
        let Some(instance) = self.instance(who) else { return };
        let (version, source) = (Arc::clone(&instance.version), barred::source(&what));
        let (event, outcome) = instance.handle(what, now_ms);
        if let (Some(recorder), Who::Lead) = (&recorder, who) {
            recorder.event(version.origin, &event, &outcome);
        }
        match outcome {
            Ok(done) => {
                self.strikes.went_well(version.origin.adapter, UnixMillis::now());
                match self.check(who, done.value) {
                    Ok(effects) => self.apply(who, effects),
                    Err(reason) => {
                        if let (Some(link), Who::Lead, ListRefused::Job(why)) = (source, who, &reason) {
                            self.bar(link, &why.to_string());
                        }
                        self.refuse(who, &reason.to_string());
                    }
                }
            }
            Err(error) if error.is_trap() => self.trapped(who, input(&event.what), &error),
            Err(error) => self.shared.status.lock().error(&error.to_string()),
        }
    }

    fn check(
        &mut self,
        who: Who,
        actions: Vec<millpond_contracts::chain::Action>,
    ) -> Result<Vec<Effect>, ListRefused> {
        let instance = match who {
            Who::Lead => self.lead.as_ref(),
            Who::Candidate => self.candidate.as_ref().map(|candidate| &candidate.instance),
        };
        let Some(instance) = instance else { return Ok(Vec::new()) };
        let book = self.shared.book.lock();
        let checks = ListChecks {
            job: Checks {
                version: &instance.version,
                trust: &self.trust,
                bodies: &self.bodies,
                recent: &self.recent,
                revisions: &self.revisions,
            },
            book: &book,
            links: self.shared.port.links(),
            timers: &instance.timer_ids,
            in_flight: &instance.in_flight,
        };
        checks.check(actions)
    }

    /// Tells the operator. What an adapter can cause at will is limited in rate: the first alarms of a span are
    /// shown, the others counted.
    fn alarm(&mut self, kind: AlarmKind, text: String) {
        self.shared.status.lock().error(&text);
        if matches!(kind, AlarmKind::Adapter | AlarmKind::Trust) {
            if self.alarms.since.elapsed() >= ALARM_SPAN {
                let dropped = std::mem::take(&mut self.alarms).dropped;
                if dropped > 0 {
                    let text = format!("{dropped} more alarms of the adapter's making were left out");
                    self.shared.sink.alarm(Alarm { kind, text });
                }
            }
            self.alarms.shown = self.alarms.shown.saturating_add(1);
            if self.alarms.shown > ALARMS {
                self.alarms.dropped = self.alarms.dropped.saturating_add(1);
                return;
            }
        }
        tracing::warn!(?kind, "{text}");
        self.shared.sink.alarm(Alarm { kind, text });
    }

    /// None of an event's actions is applied. The instance may wait for a reply to a call that was never made, so it
    /// starts again from what is saved, after a pause; this is no strike, since a node's lie can be behind it.
    fn refuse(&mut self, who: Who, reason: &str) {
        if who == Who::Candidate {
            return self.fail_candidate(&format!("its actions were refused: {reason}"));
        }
        self.shared.status.lock().refused += 1;
        self.alarm(
            AlarmKind::Trust,
            format!("the adapter's actions were refused, none was applied: {reason}"),
        );
        let pause = FIRST_BACKOFF.saturating_mul(1 << self.refusals.min(16)).min(LONGEST_BACKOFF);
        self.refusals = self.refusals.saturating_add(1);
        self.lead = None;
        self.restart_at = Some(Instant::now() + pause);
    }

    fn trapped(&mut self, who: Who, input: Digest, error: &CallError) {
        if who == Who::Candidate {
            return self.fail_candidate(&error.to_string());
        }
        self.lead = None;
        self.shared.status.lock().traps += 1;
        let digest = self.version.origin.adapter;
        match self.strikes.failed(digest, input, error, UnixMillis::now()) {
            Decision::GoOn => self.restart_at = Some(Instant::now()),
            Decision::RetryAfter(pause) => {
                let pause_ms = pause.as_millis();
                self.alarm(
                    AlarmKind::Plugin,
                    format!("the adapter trapped, a new instance starts in {pause_ms} ms: {error}"),
                );
                self.restart_at = Some(Instant::now() + pause);
            }
            Decision::Quarantine { first_error } => self.quarantine(&first_error),
        }
    }

    fn quarantine(&mut self, first_error: &str) {
        let bad = self.version.origin.adapter.short();
        match self.previous.take() {
            Some(previous) if self.strikes.quarantined(previous.origin.adapter).is_none() => {
                let good = previous.origin.adapter.short();
                self.version = previous;
                self.restart_at = Some(Instant::now());
                self.shared.status.lock().version = Some(self.version.origin);
                self.alarm(
                    AlarmKind::Plugin,
                    format!("adapter {bad} is in quarantine, the last good version {good} goes on; its first error: {first_error}"),
                );
                self.shared.sink.version(&self.version);
            }
            _ => {
                self.quarantined = true;
                self.restart_at = None;
                self.shared.status.lock().quarantined = Some(first_error.to_owned());
                self.alarm(
                    AlarmKind::Plugin,
                    format!(
                        "adapter {bad} is in quarantine and there is no older version: its jobs are served until they expire, then the pool stands; its first error: {first_error}"
                    ),
                );
            }
        }
    }

    fn start_lead(&mut self) {
        if self.quarantined {
            return;
        }
        self.shared.status.lock().quarantined = None;
        match self.version.adapter.start_actor() {
            Ok(actor) => {
                self.instances += 1;
                self.lead = Some(Instance::new(self.instances, Arc::clone(&self.version), actor));
                self.greet(Who::Lead);
            }
            Err(error) => {
                // Even an error of its own in `describe` cannot be worked with: it is treated as a trap.
                let error = match error {
                    CallError::Plugin { function, message } | CallError::Host { function, message } => {
                        CallError::Trap { function, kind: TrapKind::Other, message }
                    }
                    trap => trap,
                };
                self.trapped(Who::Lead, Digest::of(b"describe"), &error);
            }
        }
    }

    /// The first events of an instance's life: start, the links that are up, the newest pushes.
    fn greet(&mut self, who: Who) {
        let Some(id) = self.instance(who).map(|instance| instance.id) else { return };
        let (revision, outputs, aux) = self.revisions.newest();
        let watching = self.shared.book.lock().watching();
        let start = Start { saved: self.saved.clone(), watching, revision, outputs, aux };
        self.deliver(who, Happening::Start(start));
        let same = |driver: &mut Self| driver.instance(who).is_some_and(|instance| instance.id == id);
        for (link, up) in self.ring.up.clone() {
            if up && !self.barred.contains(link) && same(self) {
                self.deliver(who, Happening::Link { link, up });
            }
        }
        for ((link, transport, topic), data) in self.ring.pushes.clone() {
            if same(self) {
                let body = self.bodies.keep(data.clone());
                self.push_to(who, link, &transport, &topic, &data, body);
            }
        }
    }

    fn swap(&mut self, version: Arc<Version>, done: SyncSender<Result<(), String>>) {
        if let Err(reason) = version.can_follow(&self.version) {
            let _ = done.try_send(Err(reason));
            return;
        }
        self.fail_candidate("another swap was asked for");
        match version.adapter.start_actor() {
            Ok(actor) => {
                self.instances += 1;
                let instance = Instance::new(self.instances, version, actor);
                let deadline = Instant::now() + self.swap_time;
                self.candidate = Some(Candidate { instance, held: Vec::new(), deadline, done });
                self.greet(Who::Candidate);
            }
            Err(error) => {
                let _ = done.try_send(Err(error.to_string()));
            }
        }
    }

    fn fail_candidate(&mut self, reason: &str) {
        if let Some(candidate) = self.candidate.take() {
            let digest = candidate.instance.version.origin.adapter.short();
            let text = format!("adapter {digest} does not take over, the running version stays: {reason}");
            self.alarm(AlarmKind::Plugin, text);
            let _ = candidate.done.try_send(Err(reason.to_owned()));
        }
    }
}
