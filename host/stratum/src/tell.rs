//! What a miner is told: replies, difficulties, jobs.

use crate::backend::Backend;
use crate::connection::{Connection, End};
use crate::counters::add;
use crate::epoch::Epoch;
use crate::firmware;
use crate::holes::{JobHoles, JobInHand, SessionHoles};
use crate::outbox::OutboxError;
use crate::server::Announcement;
use crate::session::Session;
use bytes::Bytes;
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
        self.entry.lock().info.difficulty = difficulty;
    }

    /// Answers a request, and sends what the dialect wants after it.
    pub(crate) fn reply(&mut self, call: &Call) -> Result<(), End> {
        let mut out = Vec::new();
        let written = if call.wants_job() {
            let Some(job) = self.shared.jobs.current() else {
                return self.refuse(call, Failure::Other, Some("there is no work yet; try again"));
            };
            let clean = self.is_clean(&job);
            let Some((epoch, stage)) = self.opened(&job) else {
                return self.refuse(call, Failure::Other, Some("there is no work for this login now"));
            };
            let stage = stage.or_else(|| self.session.stage(&job, &epoch).ok());
            self.look_at_coinbase(&job, stage.as_deref());
            let hand = JobInHand { job: &job, epoch: &epoch, clean, stage: stage.as_deref() };
            self.with_job(hand, call, &mut out)
        } else {
            self.session.dialect.encode_reply(call, &self.holes(), &mut out)
        };
        self.write(written, out)?;
        for push in self.session.dialect.pushes_after(call, &self.session) {
            self.push(push)?;
        }
        // Anything that changed by the request and has not been said yet.
        if self.session.is_out_of_date() { self.send_job() } else { Ok(()) }
    }

    pub(crate) fn refuse(&mut self, call: &Call, failure: Failure, text: Option<&str>) -> Result<(), End> {
        let mut out = Vec::new();
        self.session.dialect.encode_error(call, failure, text, &mut out);
        self.write(Ok(()), out)
    }

    /// Sends a push if the dialect has it, and what the dialect wants after it. Whether something was sent.
    pub(crate) fn push(&mut self, push: Push) -> Result<bool, End> {
        if push == Push::Job {
            self.send_job()?;
            return Ok(true);
        }
        let mut out = Vec::new();
        let dialect = Arc::clone(&self.session.dialect);
        match dialect.encode_push(push, &self.holes(), &mut out) {
            Ok(()) => {}
            Err(_) if push == Push::Reconnect => return Ok(false),
            Err(error) => self.write(Err(error), Vec::new())?,
        }
        let sent = !out.is_empty();
        self.write(Ok(()), out)?;
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
        let (push, holes) = match announcement {
            Announcement::Drop(source) if *source == self.seat.source() => return Err(End::Banned),
            Announcement::Drop(_) => return Ok(()),
            Announcement::Message(text) => (Push::Message, SessionHoles { text: Some(text), ..self.holes() }),
            Announcement::Reconnect { host, port, wait } => {
                let elsewhere = Some((&**host, *port, *wait));
                (Push::Reconnect, SessionHoles { elsewhere, ..self.holes() })
            }
        };
        if !self.session.dialect.may_push(push, &self.session) {
            return Ok(());
        }
        let mut out = Vec::new();
        let written = self.session.dialect.encode_push(push, &holes, &mut out);
        self.write(written, out)
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
        let mut out = Vec::new();
        let written = dialect.encode_push(Push::Target, &self.holes(), &mut out);
        self.write(written, out)
    }

    /// The pool's adapter was swapped, and what sessions may roll with it. A miner who can be told gets his new mask and a
    /// job under it; one whose dialect has no words for it keeps what he was granted. Jobs of before are judged as they
    /// were sent.
    pub(crate) fn masks_changed(&mut self) -> Result<(), End> {
        let chain = self.shared.chain();
        let can_be_told = self.session.dialect.has_push(Push::Mask);
        if can_be_told && self.session.regrant(&chain.masks) { self.send_job() } else { Ok(()) }
    }

    /// Sends the current job, and before it the mask and the difficulty where the miner does not know them yet.
    pub(crate) fn send_job(&mut self) -> Result<(), End> {
        let dialect = Arc::clone(&self.session.dialect);
        let Some(job) = self.shared.jobs.current() else { return Ok(()) };
        if self.session.lease.is_none() || !dialect.may_push(Push::Job, &self.session) {
            return Ok(());
        }
        let difficulty = self.session.vardiff.difficulty();
        let mut out = Vec::new();
        if self.session.owes_fields() {
            let written = dialect.encode_push(Push::Mask, &self.holes(), &mut out);
            self.write(written, std::mem::take(&mut out))?;
            self.session.tell_fields();
        }
        if self.session.told != Some(difficulty) {
            let written = dialect.encode_push(Push::Target, &self.holes(), &mut out);
            self.write(written, std::mem::take(&mut out))?;
            self.session.told = Some(difficulty);
        }
        let clean = self.is_clean(&job);
        let Some((epoch, stage)) = self.opened(&job) else { return Ok(()) };
        let written = match self.shared.rope(&dialect, &job, || dialect.encode_job(&JobHoles(&job))) {
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
                let holes = SessionHoles { job: Some(hand), ..self.holes() };
                rope.write(&holes, &mut out)
            }
            Err(error) => Err(error),
        };
        if self.worked.is_none() {
            self.session.vardiff.restart(Instant::now());
        }
        self.worked = Some(Instant::now());
        add(&self.shared.core.counters.jobs_sent);
        self.write(written, out)
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
        if !Session::pays_in_work(job.stage.recipe()) {
            return Some((self.session.issue(job), None));
        }
        let before = self.session.epochs.clone();
        let epoch = self.session.issue(job);
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

    /// Writes a reply that carries a job.
    fn with_job(&mut self, hand: JobInHand<'_>, call: &Call, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let dialect = Arc::clone(&self.session.dialect);
        let holes = SessionHoles { job: Some(hand), ..self.holes() };
        dialect.encode_reply(call, &holes, out)?;
        self.session.told = Some(self.session.vardiff.difficulty());
        self.worked = Some(Instant::now());
        Ok(())
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

    pub(crate) fn write(&self, encoded: Result<(), EncodeError>, out: Vec<u8>) -> Result<(), End> {
        if let Err(error) = encoded {
            add(&self.shared.core.counters.encode_errors);
            tracing::warn!(dialect = self.session.dialect.name(), %error, "a message could not be written");
        }
        self.outbox.send(Bytes::from(out)).map_err(|error| match error {
            OutboxError::Full => {
                add(&self.shared.core.counters.slow_readers);
                End::Slow
            }
            OutboxError::Closed => End::HungUp,
        })
    }
}
