//! What a miner is told: replies, difficulties, jobs.

use crate::backend::Backend;
use crate::board::Announcement;
use crate::connection::{Connection, End};
use crate::counters::add;
use crate::epoch::Epoch;
use crate::firmware;
use crate::holes::{JobHoles, JobInHand, SessionHoles};
use crate::session::Session;
use millpond_dialect::{Call, EncodeError, Failure, HOST_VALUES, Piece, Push};
use millpond_jobs::{Found, Job};
use millpond_recipe::SessionStage;
use millpond_types::UnixMillis;
use std::sync::Arc;
use std::time::Instant;

impl<B: Backend> Connection<B> {
    /// Vardiff decided: the miner gets its new difficulty and a job that it applies to.
    pub(crate) fn retargeted(&mut self) -> Result<(), End> {
        add(&self.shared.core.counters.retargets);
        self.retarget();
        self.send_job()
    }

    /// The difficulty changed: the target follows.
    pub(crate) fn retarget(&mut self) {
        let difficulty = self.session.vardiff.difficulty();
        self.session.target = self.shared.target_of(&self.session.dialect, difficulty);
        self.entry.known.lock().difficulty = difficulty;
    }

    /// Answers a request, and sends what the dialect wants after it.
    pub(crate) fn reply(&mut self, call: &Call) -> Result<(), End> {
        if call.wants_job() {
            let Some(job) = self.shared.jobs.current() else {
                self.refuse(call, Failure::Other, Some("there is no work yet; try again"));
                return Ok(());
            };
            let clean = self.is_clean(&job);
            let Some((epoch, stage)) = self.opened(&job) else {
                self.refuse(call, Failure::Other, Some("there is no work for this login now"));
                return Ok(());
            };
            let stage = stage.or_else(|| self.session.stage(&job, &epoch).ok());
            self.look_at_coinbase(&job, stage.as_deref());
            let hand = JobInHand { job: &job, epoch: &epoch, clean, stage: stage.as_deref() };
            let written = self.write(|own, out| {
                let holes = SessionHoles { job: Some(hand), ..own.holes() };
                own.session.dialect.encode_reply(call, &holes, out)
            });
            if written {
                self.session.told = Some(self.session.vardiff.difficulty());
                self.worked = Some(Instant::now());
            }
        } else {
            self.write(|own, out| own.session.dialect.encode_reply(call, &own.holes(), out));
        }
        for push in self.session.dialect.pushes_after(call, &self.session) {
            self.push(push)?;
        }
        // Anything that changed by the request and has not been said yet.
        if self.session.is_out_of_date() { self.send_job() } else { Ok(()) }
    }

    pub(crate) fn refuse(&mut self, call: &Call, failure: Failure, text: Option<&str>) {
        let dialect = &self.session.dialect;
        dialect.encode_error(call, failure, text, self.outbox.lines());
    }

    /// Sends a push if the dialect has it, and what the dialect wants after it. Whether something was sent.
    pub(crate) fn push(&mut self, push: Push) -> Result<bool, End> {
        if push == Push::Job {
            self.send_job()?;
            return Ok(true);
        }
        let dialect = Arc::clone(&self.session.dialect);
        let before = self.outbox.lines().len();
        let encode = |own: &Self, out: &mut Vec<u8>| dialect.encode_push(push, &own.holes(), out);
        if push == Push::Reconnect {
            // A dialect that needs somewhere to go has no words for this.
            if self.encode(encode).is_err() {
                return Ok(false);
            }
        } else {
            self.write(encode);
        }
        let sent = self.outbox.lines().len() > before;
        if push == Push::Target {
            self.session.told = Some(self.session.vardiff.difficulty());
        }
        for next in dialect.pushes_after_push(push, &self.session) {
            // A job after a target is what sending a job does anyway.
            if next == Push::Job || push != Push::Target {
                self.push(next)?;
            }
        }
        Ok(sent)
    }

    /// Passes on what the operator says.
    pub(crate) fn announce(&mut self, announcement: &Announcement) -> Result<(), End> {
        let (push, text, elsewhere) = match announcement {
            Announcement::Drop(source) if *source == self.seat.source() => return Err(End::Banned),
            Announcement::Drop(_) => return Ok(()),
            Announcement::Message(text) => (Push::Message, Some(&**text), None),
            Announcement::Reconnect { host, port, wait } => {
                (Push::Reconnect, None, Some((&**host, *port, *wait)))
            }
        };
        if self.session.dialect.may_push(push, &self.session) {
            self.write(|own, out| {
                let holes = SessionHoles { text, elsewhere, ..own.holes() };
                own.session.dialect.encode_push(push, &holes, out)
            });
        }
        Ok(())
    }

    /// A sign of life before the miner takes the pool for dead: its job again, where that is other work; otherwise its
    /// difficulty again, since several miners search the same space anew for the same job.
    pub(crate) fn keep_alive(&mut self) -> Result<(), End> {
        // Also when nothing can be sent: without work, or with none for this session, the next sign of life is due later.
        self.worked = Some(Instant::now());
        let again = self.shared.jobs.current().is_some_and(|job| Session::can_reissue(job.stage.recipe()));
        let dialect = Arc::clone(&self.session.dialect);
        if again || !dialect.may_push(Push::Target, &self.session) {
            return self.send_job();
        }
        if !self.outbox.is_stuck() {
            self.write(|own, out| dialect.encode_push(Push::Target, &own.holes(), out));
        }
        Ok(())
    }

    /// The pool's adapter was swapped, and what sessions may roll with it. A miner who can be told gets his new mask and a
    /// job under it; one whose dialect has no words for it keeps what he was granted. Jobs of before are judged as they
    /// were sent.
    pub(crate) fn masks_changed(&mut self) -> Result<(), End> {
        let chain = self.shared.chain();
        let can_be_told = self.session.dialect.has_push(Push::Mask);
        if can_be_told && self.session.regrant(&chain.masks) { self.send_job() } else { Ok(()) }
    }

    /// Sends the current job, and before it the mask and the difficulty where the miner does not know them yet. A miner
    /// that has not taken what was written before gets the job that is current when it has.
    pub(crate) fn send_job(&mut self) -> Result<(), End> {
        let dialect = Arc::clone(&self.session.dialect);
        let Some(job) = self.shared.jobs.current() else { return Ok(()) };
        if self.session.lease.is_none() || !dialect.may_push(Push::Job, &self.session) {
            return Ok(());
        }
        if self.outbox.is_stuck() {
            self.owes_job = true;
            return Ok(());
        }
        let difficulty = self.session.vardiff.difficulty();
        if self.session.owes_fields() {
            self.write(|own, out| dialect.encode_push(Push::Mask, &own.holes(), out));
            self.session.tell_fields();
        }
        if self.session.told != Some(difficulty) {
            self.write(|own, out| dialect.encode_push(Push::Target, &own.holes(), out));
            self.session.told = Some(difficulty);
        }
        let clean = self.is_clean(&job);
        let Some((epoch, stage)) = self.opened(&job) else { return Ok(()) };
        match self.shared.rope(&dialect, &job, || dialect.encode_job(&JobHoles(&job))) {
            Ok(rope) => {
                let own = |piece: Piece<'_>| match piece {
                    Piece::Shared(_) => false,
                    Piece::Hole(hole) => HOST_VALUES.iter().all(|(name, _)| *name != hole.name()),
                };
                let stage = match stage {
                    None if rope.pieces().any(own) => self.session.stage(&job, &epoch).ok(),
                    known => known,
                };
                self.look_at_coinbase(&job, stage.as_deref());
                let hand = JobInHand { job: &job, epoch: &epoch, clean, stage: stage.as_deref() };
                self.write(|own, out| rope.write(&SessionHoles { job: Some(hand), ..own.holes() }, out));
            }
            Err(error) => {
                self.write(|_, _| Err(error));
            }
        }
        if self.worked.is_none() {
            self.session.vardiff.restart(Instant::now());
        }
        self.worked = Some(Instant::now());
        add(&self.shared.core.counters.jobs_sent);
        Ok(())
    }

    /// Tells the pool of a coinbase that the miner's firmware does not take.
    fn look_at_coinbase(&self, job: &Job, stage: Option<&SessionStage>) {
        let core = &self.shared.core;
        let Some(bytes) = firmware::coinbase_bytes(job, stage) else { return };
        let (too_long, first) = core.told_of_firmware.look(&self.session.agent, bytes);
        if too_long {
            add(&core.counters.coinbase_too_long);
        }
        if let Some(what) = first {
            self.shared.backend.coinbase_too_long(&what);
        }
    }

    /// Whether the miner shall drop what it has: it has nothing, or work on another parent.
    pub(crate) fn is_clean(&self, job: &Job) -> bool {
        let Some(last) = self.session.epochs.last_job().filter(|_| self.worked.is_some()) else {
            return true;
        };
        match self.shared.jobs.lookup(last, UnixMillis::now()) {
            Found::Live(last) | Found::Stale(last) => last.parent != job.parent,
            Found::Expired(_) | Found::Forgotten | Found::Unknown => true,
        }
    }

    /// The epoch to send a job under, if the session may work on it. Where the work itself pays somebody, the pool looks
    /// at it as the session would hash it, and that session stage is given too. Whatever cannot be looked at is refused:
    /// no work is better than work for somebody else. The next job is looked at again.
    fn opened(&mut self, job: &Job) -> Option<(Arc<Epoch>, Option<Arc<SessionStage>>)> {
        if let Some(why) = self.cannot_take() {
            // Who says what it is behind its login.
            tracing::info!(job = %job.id, session = self.session.id_text, %why, "a session gets no work");
            return None;
        }
        let oldest = self.shared.jobs.oldest();
        if !Session::pays_in_work(job.stage.recipe()) {
            return Some((self.session.issue(job, oldest), None));
        }
        let before = self.session.epochs.clone();
        let epoch = self.session.issue(job, oldest);
        let looked = match &epoch.values.payee {
            None => Err("nobody has logged in whom it could pay".to_owned()),
            Some(payee) => match self.session.stage(job, &epoch) {
                Ok(stage) => self.shared.backend.may_work(job, &stage, payee).map(|()| stage),
                Err(why) => Err(why.to_string()),
            },
        };
        match looked {
            Ok(stage) => Some((epoch, Some(stage))),
            Err(why) => {
                tracing::error!(job = %job.id, session = self.session.id_text, %why, "a session gets no work of this job");
                // It was not sent after all.
                self.session.epochs = before;
                None
            }
        }
    }

    pub(crate) fn holes(&self) -> SessionHoles<'_> {
        SessionHoles {
            session: &self.session.id_text,
            prefix: &self.session.prefix,
            size: self.session.xn_size,
            difficulty: self.session.vardiff.difficulty(),
            target: self.session.target.to_be_bytes(),
            negotiated: Some(&self.session.negotiated),
            ..SessionHoles::default()
        }
    }

    /// Encodes into what goes out with this turn; on an error nothing of it does.
    fn encode(
        &mut self,
        encode: impl FnOnce(&Self, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut out = self.outbox.take();
        let encoded = encode(self, &mut out);
        self.outbox.put(out);
        encoded
    }

    /// The same, with an error told. False when there was one.
    fn write(&mut self, encode: impl FnOnce(&Self, &mut Vec<u8>) -> Result<(), EncodeError>) -> bool {
        let encoded = self.encode(encode);
        if let Err(error) = &encoded {
            add(&self.shared.core.counters.encode_errors);
            let dialect = self.session.dialect.name();
            self.span().in_scope(|| tracing::warn!(dialect, %error, "a message could not be written"));
        }
        encoded.is_ok()
    }
}
