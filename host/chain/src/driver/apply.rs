//! Checked effects take place: nodes are called, the pool is told, a new version takes over.

use super::{Candidate, Driver, HELD, Who};
use crate::effects::{Effect, ListRefused};
use crate::income::Book;
use crate::port::NodeAnswer;
use crate::queue::Input;
use crate::sink::AlarmKind;
use crate::trust::Trust;
use millpond_contracts::chain::{Fate, Income, NodeError, NodeErrorKind};
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
            candidate.held.extend((!others.is_empty()).then_some(others));
            if candidate.held.iter().map(Vec::len).sum::<usize>() > HELD {
                return self.fail_candidate("it reported more than can be held back before its first job");
            }
            own.into_iter().for_each(|effect| self.apply_own(who, effect));
            return;
        }
        // What it held back was checked against the book of then, each event alone: all of it is judged together before
        // any of it takes effect.
        let book = self.shared.book.lock().clone();
        if let Err(why) = rehearse(book, candidate.held.iter().chain([&effects]), &self.trust) {
            return self.fail_candidate(&format!("its actions were refused: {why}"));
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
        held.into_iter().for_each(|event| self.apply_all(event));
        self.apply_all(effects);
        let _ = done.try_send(Ok(()));
    }

    fn apply_all(&mut self, mut effects: Vec<Effect>) {
        effects.sort_by_key(is_last);
        effects.into_iter().for_each(|effect| self.apply_one(effect));
    }

    /// Calls, sends and timers of an instance.
    fn apply_own(&mut self, who: Who, effect: Effect) {
        let port = Arc::clone(&self.shared.port);
        let queue = Arc::clone(&self.shared);
        let Some(instance) = self.instance(who) else { return };
        let id_of = instance.id;
        match effect {
            Effect::Call { id, call } => {
                let number = instance.calls(id, call.link);
                if instance.may_call() {
                    let answered = move |answer| {
                        queue.queue.push(Input::Reply { instance: id_of, id, call: number, answer })
                    };
                    port.call(call, Box::new(answered));
                } else {
                    let answer = refusal(call.link, NodeErrorKind::Denied, "too many calls in this second");
                    let at = Instant::now() + Duration::from_secs(1);
                    self.delayed.push((at, Input::Reply { instance: id_of, id, call: number, answer }));
                }
            }
            Effect::Denied { id, link, kind, why, alarm } => {
                let number = instance.calls(id, link);
                if alarm {
                    self.alarm(AlarmKind::Trust, format!("the adapter made a call that is refused: {why}"));
                }
                let answer = refusal(link, kind, &why);
                // Not at once: an adapter that asks again on every answer would spin.
                let at = Instant::now() + Duration::from_millis(100);
                self.delayed.push((at, Input::Reply { instance: id_of, id, call: number, answer }));
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
                let (matured, early) = {
                    let mut book = self.shared.book.lock();
                    book.saw_coord(job.coord);
                    (book.matured(&self.trust), book.early(&self.trust))
                };
                self.shared.status.lock().published(&job);
                sink.publish(job);
                matured.into_iter().for_each(|income| sink.income(income));
                early.into_iter().for_each(|text| self.alarm(AlarmKind::Trust, text));
            }
            Effect::Tip { parent, coord } => sink.tip(&parent, coord),
            Effect::Fate { block, fate } => {
                self.shared.book.lock().fate(&block, &fate);
                sink.fate(&block, &fate);
            }
            Effect::Income(income) => {
                let told = self.shared.book.lock().income(income, &self.trust);
                told.into_iter().for_each(|income| sink.income(income));
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

/// A block that is final is forgotten: whatever else the same event says, of its income above all, takes place before, in
/// whichever order the adapter said it.
fn is_last(effect: &Effect) -> bool {
    matches!(effect, Effect::Fate { fate: Fate::Final, .. })
}

/// Plays events on a copy of the book, each as it would apply: the incomes of each are held against what the ones before
/// it left.
fn rehearse<'a>(
    mut book: Book,
    events: impl Iterator<Item = &'a Vec<Effect>>,
    trust: &Trust,
) -> Result<(), ListRefused> {
    for event in events {
        let incomes: Vec<&Income> = event
            .iter()
            .filter_map(|effect| if let Effect::Income(income) = effect { Some(income) } else { None })
            .collect();
        book.check(&incomes, trust)?;
        let (last, first): (Vec<&Effect>, Vec<&Effect>) = event.iter().partition(|effect| is_last(effect));
        for effect in first.into_iter().chain(last) {
            match effect {
                Effect::Publish(job) => {
                    book.saw_coord(job.coord);
                    book.matured(trust);
                }
                Effect::Fate { block, fate } => book.fate(block, fate),
                Effect::Income(income) => drop(book.income(income.clone(), trust)),
                // A mature one stays, and is an alarm when it comes to it.
                Effect::IncomeLost(key) => drop(book.lost(key)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// An answer that no node gave.
pub(super) fn refusal(link: Option<u16>, kind: NodeErrorKind, why: &str) -> NodeAnswer {
    let error = NodeError { kind, code: 0, message: why.to_owned() };
    NodeAnswer { link: link.unwrap_or(0), outcome: Err(error) }
}
