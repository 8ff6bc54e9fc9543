//! What a miner says, line by line, and what it does to his session.

use crate::backend::{Backend, Refusal};
use crate::bans::{BanConfig, BanReason, Conduct, Verdict};
use crate::connection::{Connection, End};
use crate::counters::add;
use crate::flight::Landed;
use crate::submit::{self, Outcome, Step, Together};
use millpond_dialect::{Call, Failure, Intent, Push, Request, Submit, Suggestion};
use millpond_types::{Target, UnixMillis};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Instrument, Span};

/// Shares of a session that could not be taken up again arrive within this time, if at all.
const ON_THEIR_WAY: Duration = Duration::from_secs(60);

impl<B: Backend> Connection<B> {
    /// Hears a line. `more`: another one or its beginning was read with it. Shares may wait in `together` for those that
    /// follow them.
    pub(crate) fn hear(&mut self, line: &[u8], more: bool, together: &mut Together) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        self.pace.take(line.len(), now);
        if self.read_from.is_some() || self.pace.ready_at().is_some() {
            // A share before this line that counts excuses its haste.
            self.judge_together(together)?;
        }
        self.slow_down(now)?;
        let mut dialect = Arc::clone(&self.session.dialect);
        let decoded = self.dialects.decode(&mut dialect, line, &self.session);
        let changes = !Arc::ptr_eq(&self.session.dialect, &dialect);
        if changes || !matches!(decoded.intent, Intent::Submit(_)) {
            self.judge_together(together)?;
        }
        if changes {
            self.session.vardiff.set_rounding(dialect.rounding(), now);
            self.entry.known.lock().dialect = Arc::clone(&dialect);
            self.session.dialect = dialect;
            self.retarget();
        }
        let mut call = decoded.call;
        match decoded.intent {
            Intent::Hello { agent, resume } => self.hello(call, agent, resume),
            Intent::Login { user, password, agent } => self.login(call, user, password, agent),
            Intent::Submit(share) => self.submitted(call, &share, more, together),
            Intent::Negotiate(requests) => {
                for request in requests {
                    match request {
                        Request::Field { field, value } => {
                            let chain = self.shared.chain();
                            self.session.negotiate(field.clone(), &value, chain.masks.get(&field));
                        }
                        Request::ExtranonceUpdates => self.session.extranonce_updates = true,
                        Request::Least(suggestion) => {
                            if !self.promised(suggestion) {
                                call.deny_least();
                            }
                        }
                    }
                }
                self.session.tell_fields();
                self.reply(&call)
            }
            Intent::ExtranonceUpdates => {
                self.session.extranonce_updates = true;
                self.reply(&call)
            }
            Intent::Suggest(suggestion) => {
                self.suggested(suggestion);
                self.reply(&call)
            }
            Intent::GetJob | Intent::Static => self.reply(&call),
            Intent::Answer { text } => {
                self.answered(text);
                Ok(())
            }
            Intent::Ignored => Ok(()),
            Intent::Unknown { method } => {
                let text = format!("unknown method {method:?}");
                self.refuse(&call, Failure::UnknownMethod, Some(&text));
                Ok(())
            }
            Intent::Malformed { why } => self.malformed(&call, &why),
        }
    }

    /// The miner answers a question. Only one is ever asked.
    fn answered(&mut self, text: Option<String>) {
        if self.asked == Some(true)
            && let Some(text) = text
        {
            self.asked = Some(false);
            let text: String = text.chars().take(128).collect();
            self.entry.known.lock().version = text.into();
        }
    }

    pub(crate) fn suggested(&mut self, suggestion: Suggestion) {
        let difficulty = self.difficulty_of(suggestion);
        self.session.vardiff.suggest(difficulty, Instant::now());
        self.chose = true;
        self.retarget();
    }

    /// The miner asks for no less than this. Whether it gets that.
    fn promised(&mut self, least: Suggestion) -> bool {
        let least = self.difficulty_of(least);
        let kept = self.session.vardiff.promise(least, Instant::now());
        self.retarget();
        kept
    }

    fn difficulty_of(&self, suggestion: Suggestion) -> f64 {
        match suggestion {
            Suggestion::Difficulty(difficulty) => difficulty,
            Suggestion::Target(target) => {
                let diff1 = self.session.dialect.diff1(self.shared.chain().diff1);
                Target::from_be_bytes(target).difficulty(diff1)
            }
        }
    }

    pub(crate) fn malformed(&mut self, call: &Call, why: &str) -> Result<(), End> {
        self.refuse(call, Failure::Other, Some(why));
        if !call.is_request() {
            add(&self.shared.core.counters.garbage);
            self.judged(|conduct, config| conduct.garbage(config, Instant::now()))
        } else {
            // A request that makes no sense: nearly always a submit with bad fields. Its id may be null.
            self.shared.core.counters.refused(Refusal::Malformed);
            self.entry.known.lock().refused += 1;
            self.shared.backend.refused(self.session.payee(), "", Refusal::Malformed);
            self.judged(|conduct, config| conduct.invalid(config, Instant::now()))
        }
    }

    fn submitted(
        &mut self,
        call: Call,
        share: &Submit<'_>,
        more: bool,
        together: &mut Together,
    ) -> Result<(), End> {
        let shared = Arc::clone(&self.shared);
        let mut read = submit::read(&shared, &mut self.session, share, UnixMillis::now());
        if more || !together.is_empty() {
            read = match read {
                Ok(candidate) if candidate.is_cheap() && candidate.gains_together() => {
                    together.push(call, candidate.into_owned());
                    let most = self.config.limits.shares_in_flight;
                    let full = together.is_full() || self.flights.len() + together.len() >= most;
                    return if more && !full { Ok(()) } else { self.judge_together(together) };
                }
                read if together.is_empty() => read,
                read => {
                    self.judge_together(together)?;
                    read.map(|candidate| candidate.judged_now(&self.session))
                }
            };
        }
        let step = match read {
            Err(outcome) => Step::Done(outcome),
            Ok(candidate) if candidate.is_cheap() => submit::judge_here(&shared, candidate),
            Ok(candidate) => {
                let charged = Some(self.charge(candidate.recipe()));
                let settled = submit::judge_and_record(shared, candidate.into_owned());
                self.flights.spawn(call, charged, settled.instrument(self.share_span()));
                return Ok(());
            }
        };
        self.settle(call, step)
    }

    /// Hashes the shares that wait for those that follow them, and settles each in its turn. One that ends the connection
    /// ends it for those behind it, which then were never heard.
    pub(crate) fn judge_together(&mut self, together: &mut Together) -> Result<(), End> {
        if together.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        for (call, hashed) in submit::hash_together(&shared, together) {
            let step = hashed.decide(&shared, &self.session);
            self.settle(call, step)?;
        }
        Ok(())
    }

    /// Answers a share that was hashed, or has it recorded first.
    fn settle(&mut self, call: Call, step: Step) -> Result<(), End> {
        match step {
            Step::Done(outcome) if self.flights.is_empty() => return self.answer(&call, outcome),
            Step::Done(outcome) => self.flights.known(call, outcome),
            Step::Record(accepted, answer) => {
                // A block goes its way whatever becomes of its finder's connection.
                let solves = accepted.solution.is_some();
                let recorded =
                    submit::record(Arc::clone(&self.shared), accepted, answer).instrument(self.share_span());
                if solves {
                    self.flights.spawn(call, None, recorded);
                } else {
                    self.flights.follow(call, Box::pin(recorded));
                }
            }
        }
        Ok(())
    }

    /// Of a share's own at the finest level alone: it is made for each of them.
    fn share_span(&self) -> Span {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return Span::none();
        }
        self.span().in_scope(|| tracing::trace_span!("share", connection = self.number))
    }

    /// Answers a share that was on its way.
    pub(crate) fn landed(&mut self, landed: Landed) -> Result<(), End> {
        let Landed { call, outcome, charged } = landed;
        if let Some(cost) = charged {
            self.settle_charge(cost, &outcome);
        }
        self.answer(&call, outcome)
    }

    /// Answers a share.
    pub(crate) fn answer(&mut self, call: &Call, outcome: Outcome) -> Result<(), End> {
        match outcome {
            Outcome::Counted(counted) => {
                add(&self.shared.core.counters.accepted);
                let now = Instant::now();
                {
                    let mut known = self.entry.known.lock();
                    known.accepted += 1;
                    known.last_share = Some(counted.time);
                    known.hashrate.share(counted.target, now);
                }
                self.conduct.valid(&self.config.bans);
                self.slowed = None;
                self.reply(call)?;
                if self.session.vardiff.share(counted.difficulty, now).is_some() {
                    return self.retargeted();
                }
                Ok(())
            }
            Outcome::Refused { why, text, worker } => {
                self.shared.core.counters.refused(why);
                self.shared.backend.refused(self.session.payee(), &worker, why);
                self.entry.known.lock().refused += 1;
                self.refuse(call, submit::failure(why), text.as_deref());
                if submit::is_misconduct(why) && !self.is_excused(why) {
                    self.judged(|conduct, config| conduct.invalid(config, Instant::now()))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Whether what would speak against a miner is the pool's doing: he cannot log in because the pool cannot look him up,
    /// or his session could not be taken up again and shares of it are still on their way.
    fn is_excused(&self, why: Refusal) -> bool {
        match why {
            Refusal::Unauthorized => self.owes_login,
            Refusal::UnknownJob => self.not_resumed.is_some_and(|at| at.elapsed() < ON_THEIR_WAY),
            _ => false,
        }
    }

    /// Acts on what the miner's conduct calls for.
    pub(crate) fn judged(
        &mut self,
        judge: impl FnOnce(&mut Conduct, &BanConfig) -> Verdict,
    ) -> Result<(), End> {
        match judge(&mut self.conduct, &self.config.bans) {
            Verdict::Fine => Ok(()),
            Verdict::FreshJob => self.send_job(),
            Verdict::Reconnect => match self.push(Push::Reconnect) {
                Ok(true) => Ok(()),
                // Without a message that it would understand, dropping it has the same effect.
                _ => Err(End::Invalid),
            },
            Verdict::Drop => Err(End::Invalid),
            Verdict::Ban(reason) => {
                self.ban(reason);
                Err(End::Banned)
            }
        }
    }

    /// Leaves further lines in the socket while the connection sends more than it may.
    fn slow_down(&mut self, now: Instant) -> Result<(), End> {
        self.read_from = self.read_from.filter(|from| *from > now).max(self.pace.ready_at());
        if self.read_from.is_none() {
            return Ok(());
        }
        match self.slowed {
            None => {
                add(&self.shared.core.counters.slowed);
                self.slowed = Some(now);
            }
            Some(since) if now >= since + self.config.limits.flood.0 => {
                add(&self.shared.core.counters.floods);
                self.ban(BanReason::Flood);
                return Err(End::Flood);
            }
            Some(_) => {}
        }
        Ok(())
    }

    pub(crate) fn ban(&self, reason: BanReason) {
        let source = self.seat.source();
        if self.seat.is_exempt() {
            return;
        }
        if let Some(length) = self.shared.core.bans.ban(source, reason, Instant::now()) {
            add(&self.shared.core.counters.bans);
            self.span().in_scope(|| tracing::info!(%source, ?reason, seconds = length.as_secs(), "banned"));
        }
    }
}
