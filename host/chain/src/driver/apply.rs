//! Checked effects take place: nodes are called, the pool is told, a new version takes over.

use super::{Candidate, Driver, HELD, Who};
use crate::effects::Effect;
use crate::port::NodeAnswer;
use crate::queue::Input;
use crate::sink::AlarmKind;
use millpond_contracts::chain::{Fate, NodeError, NodeErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Driver {
    pub(super) fn apply(&mut self, who: Who, effects: Vec<Effect>) {
        if who == Who::Lead {
            return self.apply_all(effects);
        }
        let takes_over = effects.iter().any(|effect| matches!(effect, Effect::Publish(_)));
        let Some(candidate) = self.candidate.as_mut() else { return };
        if !takes_over {
            let (own, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(Effect::is_own);
            candidate.held.extend(others);
            if candidate.held.len() > HELD {
                return self.fail_candidate("it reported more than can be held back before its first job");
            }
            own.into_iter().for_each(|effect| self.apply_own(who, effect));
            return;
        }
        let Some(Candidate { instance, held, done, .. }) = self.candidate.take() else { return };
        let version = Arc::clone(&instance.version);
        let old = std::mem::replace(&mut self.version, Arc::clone(&version));
        self.previous = Some(old);
        self.lead = Some(instance);
        self.restart_at = None;
        self.quarantined = false;
        {
            let mut status = self.shared.status.lock();
            status.version = Some(version.origin);
            status.quarantined = None;
        }
        self.shared.sink.version(&version);
        // Held reports were checked against the book as it was; they are checked again by being applied through it.
        let (held, refused) = self.recheck(held);
        if refused > 0 {
            self.alarm(
                AlarmKind::Trust,
                format!("{refused} held reports of the new version no longer hold: left out"),
            );
        }
        self.apply_all(held);
        self.apply_all(effects);
        let _ = done.try_send(Ok(()));
    }

    fn recheck(&self, held: Vec<Effect>) -> (Vec<Effect>, usize) {
        let book = self.shared.book.lock();
        let before = held.len();
        let holds = |effect: &Effect| match effect {
            Effect::Income(income) => book.check(&[income], &self.trust).is_ok(),
            _ => true,
        };
        let held: Vec<Effect> = held.into_iter().filter(holds).collect();
        let refused = before - held.len();
        (held, refused)
    }

    /// A block that is final is forgotten: whatever else the same event says, of its income above all, takes place
    /// before, in whichever order the adapter said it.
    fn apply_all(&mut self, effects: Vec<Effect>) {
        let is_final = |effect: &Effect| matches!(effect, Effect::Fate { fate: Fate::Final, .. });
        let (last, first): (Vec<_>, Vec<_>) = effects.into_iter().partition(is_final);
        first.into_iter().chain(last).for_each(|effect| self.apply_one(effect));
    }

    /// Calls, sends and timers of an instance.
    fn apply_own(&mut self, who: Who, effect: Effect) {
        let port = Arc::clone(&self.shared.port);
        let queue = Arc::clone(&self.shared);
        let Some(instance) = self.instance(who) else { return };
        let id_of = instance.id;
        match effect {
            Effect::Call { id, call } => {
                instance.in_flight.insert(id);
                if instance.may_call() {
                    let answered =
                        move |answer| queue.queue.push(Input::Reply { instance: id_of, id, answer });
                    port.call(call, Box::new(answered));
                } else {
                    let answer = denied(call.link, NodeErrorKind::Denied, "too many calls in this second");
                    let at = Instant::now() + Duration::from_secs(1);
                    self.delayed.push((at, Input::Reply { instance: id_of, id, answer }));
                }
            }
            Effect::Denied { id, link, kind, why, alarm } => {
                instance.in_flight.insert(id);
                if alarm {
                    self.alarm(AlarmKind::Trust, format!("the adapter made a call that is refused: {why}"));
                }
                let answer = denied(link, kind, &why);
                // Not at once: an adapter that asks again on every answer would spin.
                let at = Instant::now() + Duration::from_millis(100);
                self.delayed.push((at, Input::Reply { instance: id_of, id, answer }));
            }
            Effect::Send { link, transport, message } => {
                if let Err(error) = port.send(link, &transport, message) {
                    tracing::info!(link, transport, %error, "a message was not sent");
                }
            }
            Effect::Timer { id, ms } => instance.timer(id, ms),
            _ => {}
        }
    }

    fn apply_one(&mut self, effect: Effect) {
        let sink = Arc::clone(&self.shared.sink);
        match effect {
            Effect::Publish(job) => {
                self.refusals = 0;
                self.recent.note(job.reward);
                let matured = {
                    let mut book = self.shared.book.lock();
                    book.saw_coord(job.coord);
                    book.matured(&self.trust)
                };
                self.shared.status.lock().published(&job);
                sink.publish(job);
                matured.into_iter().for_each(|income| sink.income(income));
            }
            Effect::Tip { parent, coord } => sink.tip(&parent, coord),
            Effect::Fate { block, fate } => {
                self.shared.book.lock().fate(&block, &fate);
                sink.fate(&block, &fate);
            }
            Effect::Income(income) => {
                let (told, early) = self.shared.book.lock().income(income, &self.trust);
                told.into_iter().for_each(|income| sink.income(income));
                if let Some(text) = early {
                    self.alarm(AlarmKind::Trust, text);
                }
            }
            Effect::IncomeLost(key) => {
                let lost = self.shared.book.lock().lost(&key);
                match lost {
                    Ok(true) => sink.income_lost(&key),
                    Ok(false) => {}
                    Err(text) => self.alarm(AlarmKind::Trust, text),
                }
            }
            Effect::Unfit { link, reason } => {
                self.shared.port.unfit(link, &reason);
                sink.unfit(link, &reason);
            }
            Effect::Save(bytes) => {
                sink.saved(&bytes);
                self.saved = bytes;
            }
            Effect::Alarm { stop, text } => {
                if stop {
                    self.shared.status.lock().stopped = Some(text.clone());
                    sink.withdraw(&text);
                }
                let kind = if stop { AlarmKind::Stopped } else { AlarmKind::Adapter };
                self.alarm(kind, format!("the adapter says: {text}"));
            }
            own => self.apply_own(Who::Lead, own),
        }
    }
}

fn denied(link: Option<u16>, kind: NodeErrorKind, why: &str) -> NodeAnswer {
    let error = NodeError { kind, code: 0, message: why.to_owned() };
    NodeAnswer { link: link.unwrap_or(0), outcome: Err(error) }
}
