//! One miner's session: what was negotiated, who is paid, which work it has. No socket and no clock of its own: the
//! connection tells it what happened and writes what it decides.

pub(crate) mod carried;

use crate::backend::Payee;
use crate::epoch::{Epoch, Epochs, Values, WireJob};
use crate::extranonce::Lease;
use crate::vardiff::Vardiff;
use millpond_dialect::{Dialect, Extranonce, JobRef, Push, SessionView};
use millpond_jobs::Job;
use millpond_recipe::{Recipe, RunError, SessionStage, Width};
use millpond_types::{JobId, SessionId, Target};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Logins of one connection; a proxy may authorize several workers.
const LOGINS: usize = 256;
/// Session stages kept: a miner's shares are for its newest job, and for the one before while that is on its way.
const STAGES: usize = 2;
/// Jobs kept for miners that name a job by a register's value.
const ISSUED: usize = 32;
/// The longest worker name that is recorded, in bytes.
const WORKER_BYTES: usize = 64;

/// The session field of a recipe that takes the payee, as the adapter's `payee` interface resolved it.
const PAYEE: &str = "payee";
/// The session field of a recipe that takes the extranonce prefix.
const PREFIX: &str = "prefix";
/// The session field of a recipe that takes the number of earlier issues of the job to the session.
const REISSUE: &str = "reissue";

pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) id_text: String,
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) agent: Arc<str>,
    pub(crate) subscribed: bool,
    pub(crate) extranonce_updates: bool,
    pub(crate) lease: Option<Lease>,
    pub(crate) prefix: Arc<[u8]>,
    pub(crate) xn_size: usize,
    pub(crate) negotiated: Arc<BTreeMap<String, Vec<u8>>>,
    /// What the miner knows of that.
    told_fields: Arc<BTreeMap<String, Vec<u8>>>,
    /// What the miner can do, of the fields that it was granted something of.
    able: BTreeMap<String, Vec<u8>>,
    pub(crate) vardiff: Vardiff,
    pub(crate) target: Target,
    /// The difficulty that the miner knows of.
    pub(crate) told: Option<f64>,
    pub(crate) epochs: Epochs,
    /// Whom a login credits; the newest last.
    logins: Vec<(Box<str>, Arc<Payee>)>,
    issued: VecDeque<WireJob>,
    stages: Stages,
}

/// The session stages of two jobs at most, the one that was asked for last in front. That of the newest job goes for no
/// other's: whoever names old jobs in turn pays for theirs each time, and for his own the server never pays twice.
#[derive(Debug, Default)]
struct Stages(Vec<(WireJob, Arc<SessionStage>)>);

impl Stages {
    fn get(&mut self, wire: WireJob) -> Option<Arc<SessionStage>> {
        let at = self.0.iter().position(|(known, _)| *known == wire)?;
        if at > 0 {
            self.0.swap(0, at);
        }
        self.0.first().map(|(_, stage)| Arc::clone(stage))
    }

    fn put(&mut self, wire: WireJob, stage: Arc<SessionStage>, newest: Option<WireJob>) {
        if self.0.len() >= STAGES {
            let spared = |(known, _): &(WireJob, _)| Some(*known) == newest;
            let goes = self.0.iter().rposition(|one| !spared(one)).unwrap_or(0);
            self.0.remove(goes);
        }
        if self.0.capacity() == 0 {
            self.0.reserve_exact(STAGES);
        }
        self.0.insert(0, (wire, stage));
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, dialect: Arc<Dialect>, xn_size: usize, vardiff: Vardiff) -> Self {
        Self {
            id,
            id_text: session_text(id),
            dialect,
            agent: Arc::from(""),
            subscribed: false,
            extranonce_updates: false,
            lease: None,
            prefix: Arc::from([]),
            xn_size,
            negotiated: Arc::default(),
            told_fields: Arc::default(),
            able: BTreeMap::new(),
            vardiff,
            target: Target::MAX,
            told: None,
            epochs: Epochs::default(),
            logins: Vec::new(),
            issued: VecDeque::new(),
            stages: Stages::default(),
        }
    }

    /// Takes up a lease, new or resumed.
    pub(crate) fn take_lease(&mut self, mut lease: Lease) {
        self.epochs = std::mem::take(&mut lease.kept.epochs);
        self.id = lease.session();
        self.id_text = session_text(self.id);
        self.prefix = Arc::from(lease.prefix());
        self.lease = Some(lease);
    }

    /// Whom the session's newest login pays.
    pub(crate) fn payee(&self) -> Option<&Arc<Payee>> {
        self.logins.last().map(|(_, payee)| payee)
    }

    /// A login was accepted. Repeating one makes it the newest.
    pub(crate) fn log_in(&mut self, login: &str, payee: Arc<Payee>) {
        self.logins.retain(|(known, _)| **known != *login);
        if self.logins.len() >= LOGINS {
            self.logins.remove(0);
        }
        self.logins.push((login.into(), payee));
    }

    /// Whom a share pays and under which worker's name, given the name at submit and the epoch of its job. Where the
    /// work itself pays somebody (the payee is in the coinbase), it is him.
    pub(crate) fn credit(&self, submitted: Option<&str>, epoch: &Epoch) -> Option<(Arc<Payee>, Arc<str>)> {
        let newest = self.payee()?;
        let Some(name) = submitted.filter(|name| !name.is_empty()) else {
            let payee = epoch.values.payee.as_ref().unwrap_or(newest);
            return Some((Arc::clone(payee), Arc::clone(&payee.worker)));
        };
        let known = self.logins.iter().rev().find(|(login, _)| **login == *name).map(|(_, payee)| payee);
        let worker: Arc<str> = match known {
            Some(payee) => Arc::clone(&payee.worker),
            None => Arc::from(worker_of(name)),
        };
        let payee = epoch.values.payee.as_ref().or(known).unwrap_or(newest);
        Some((Arc::clone(payee), worker))
    }

    /// Grants a negotiated field: the miner's bits that the pool allows. Widths follow the pool's mask.
    pub(crate) fn negotiate(&mut self, field: String, wanted: &[u8], allowed: Option<&Vec<u8>>) {
        let Some(allowed) = allowed else { return };
        let granted = both(wanted, allowed);
        if granted.iter().any(|byte| *byte != 0) {
            self.able.insert(field.clone(), wanted.to_vec());
        } else {
            self.able.remove(&field);
        }
        let mut negotiated = BTreeMap::clone(&self.negotiated);
        negotiated.insert(field, granted);
        self.negotiated = Arc::new(negotiated);
    }

    /// What the pool allows has changed: what was granted before is granted anew, from what the miner can do. Whether
    /// anything of it is other now.
    pub(crate) fn regrant(&mut self, allowed: &BTreeMap<String, Vec<u8>>) -> bool {
        let mut negotiated = BTreeMap::clone(&self.negotiated);
        for (field, able) in &self.able {
            let granted = match allowed.get(field) {
                Some(allowed) => both(able, allowed),
                None => vec![0; able.len()],
            };
            negotiated.insert(field.clone(), granted);
        }
        let changed = negotiated != *self.negotiated;
        if changed {
            self.negotiated = Arc::new(negotiated);
        }
        changed
    }

    /// The miner knows what it was granted.
    pub(crate) fn tell_fields(&mut self) {
        self.told_fields = Arc::clone(&self.negotiated);
    }

    /// Whether the miner has to be told what it was granted, and may be: a mask that has become empty is told, too, to
    /// whom the one before was told.
    pub(crate) fn owes_fields(&self) -> bool {
        !Arc::ptr_eq(&self.told_fields, &self.negotiated)
            && self.told_fields != self.negotiated
            && (self.dialect.may_push(Push::Mask, self) || self.dialect.may_push(Push::Mask, &AsTold(self)))
    }

    /// Whether a job that is sent again is other work.
    pub(crate) fn can_reissue(recipe: &Recipe) -> bool {
        has_field(recipe, REISSUE)
    }

    /// Whether the work itself pays the miner: the recipe's session stage takes his payee.
    pub(crate) fn pays_in_work(recipe: &Recipe) -> bool {
        has_field(recipe, PAYEE)
    }

    /// The epoch to send a job under; shares of jobs before `oldest` count for nothing any more.
    pub(crate) fn issue(&mut self, job: &Job, oldest: Option<JobId>) -> Arc<Epoch> {
        self.epochs.forget(oldest);
        let recipe = job.stage.recipe();
        let values = Values {
            difficulty: self.vardiff.difficulty(),
            target: self.target,
            prefix: Arc::clone(&self.prefix),
            negotiated: Arc::clone(&self.negotiated),
            payee: Self::pays_in_work(recipe).then(|| self.payee().cloned()).flatten(),
            reissue: 0,
        };
        let epoch = self.epochs.issue(job.id, values, Self::can_reissue(recipe));
        let wire = WireJob { job: job.id, epoch: epoch.number };
        if self.issued.back() != Some(&wire) && self.dialect.names_jobs_by_register() {
            if self.issued.len() >= ISSUED {
                self.issued.pop_front();
            }
            self.issued.push_back(wire);
        }
        epoch
    }

    /// Whether the work that the miner has is no longer what the session would be given: it needs a job again.
    pub(crate) fn is_out_of_date(&self) -> bool {
        self.epochs.current().is_some_and(|epoch| {
            let values = &epoch.values;
            values.prefix != self.prefix
                || values.negotiated != self.negotiated
                || values.payee.as_ref().is_some_and(|payee| self.payee() != Some(payee))
                || self.told != Some(self.vardiff.difficulty())
        })
    }

    /// The jobs that were sent last, newest first.
    pub(crate) fn issued(&self) -> impl Iterator<Item = WireJob> + '_ {
        self.issued.iter().rev().copied()
    }

    /// The session stage of a job under an epoch, computed once.
    pub(crate) fn stage(&mut self, job: &Job, epoch: &Epoch) -> Result<Arc<SessionStage>, RunError> {
        let wire = WireJob { job: job.id, epoch: epoch.number };
        if let Some(stage) = self.stages.get(wire) {
            return Ok(stage);
        }
        let stage = Arc::new(job.stage.session(&session_values(job.stage.recipe(), &epoch.values))?);
        let newest = self.epochs.current().zip(self.epochs.last_job());
        let newest = newest.map(|(epoch, job)| WireJob { job, epoch: epoch.number });
        self.stages.put(wire, Arc::clone(&stage), newest);
        Ok(stage)
    }

    fn epoch_of(&self, job: &JobRef) -> Option<&Arc<Epoch>> {
        match job {
            JobRef::Id(text) => self.epochs.get(WireJob::parse(text)?),
            JobRef::Register { .. } => self.epochs.current(),
        }
    }
}

/// A session as its miner knows it.
struct AsTold<'a>(&'a Session);

impl SessionView for AsTold<'_> {
    fn subscribed(&self) -> bool {
        self.0.subscribed()
    }

    fn authorized(&self) -> bool {
        self.0.authorized()
    }

    fn extranonce_updates(&self) -> bool {
        self.0.extranonce_updates()
    }

    fn agent(&self) -> &str {
        self.0.agent()
    }

    fn extranonce(&self, job: &JobRef) -> Extranonce<'_> {
        self.0.extranonce(job)
    }

    fn negotiated(&self, field: &str) -> Option<&[u8]> {
        self.0.told_fields.get(field).map(Vec::as_slice)
    }
}

impl SessionView for Session {
    fn subscribed(&self) -> bool {
        self.subscribed
    }

    fn authorized(&self) -> bool {
        !self.logins.is_empty()
    }

    fn extranonce_updates(&self) -> bool {
        self.extranonce_updates
    }

    fn agent(&self) -> &str {
        &self.agent
    }

    fn extranonce(&self, job: &JobRef) -> Extranonce<'_> {
        let prefix = self.epoch_of(job).map_or(&self.prefix, |epoch| &epoch.values.prefix);
        Extranonce { prefix, size: self.xn_size }
    }

    fn negotiated(&self, field: &str) -> Option<&[u8]> {
        self.negotiated.get(field).map(Vec::as_slice)
    }
}

/// The bits that a miner can roll and the pool allows; widths follow the pool's mask.
fn both(able: &[u8], allowed: &[u8]) -> Vec<u8> {
    allowed.iter().enumerate().map(|(i, mask)| mask & able.get(i).copied().unwrap_or(0)).collect()
}

fn has_field(recipe: &Recipe, name: &str) -> bool {
    recipe.session_fields().iter().any(|field| *field.name == *name)
}

/// A recipe's session values, in its order: what the host knows by name, what was negotiated, and otherwise the
/// recipe's default, or zeros where it has none.
pub(crate) fn session_values(recipe: &Recipe, values: &Values) -> Vec<Vec<u8>> {
    let fields = recipe.session_fields().iter();
    fields
        .map(|field| {
            let width = match field.width {
                Width::Fixed(width) | Width::PaddedTo(width) => width as usize,
                _ => 0,
            };
            let known = match &*field.name {
                PAYEE => values.payee.as_ref().map(|payee| payee.payee.clone()),
                PREFIX => Some(values.prefix.to_vec()),
                REISSUE => Some(big_endian(values.reissue, width)),
                name => values.negotiated.get(name).cloned(),
            };
            match known {
                Some(bytes) => bytes,
                None if field.default.is_some() => Vec::new(),
                None => vec![0; width],
            }
        })
        .collect()
}

fn big_endian(number: u64, width: usize) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut out = vec![0; width.saturating_sub(bytes.len())];
    out.extend(bytes.iter().skip(bytes.len().saturating_sub(width)));
    out
}

/// The worker's part of `address.worker`, or all of it; cut to what is recorded.
fn worker_of(name: &str) -> &str {
    let worker = name.split_once('.').map_or(name, |(_, worker)| worker);
    let mut end = worker.len().min(WORKER_BYTES);
    while !worker.is_char_boundary(end) {
        end -= 1;
    }
    worker.get(..end).unwrap_or_default()
}

/// A session's id as miners see it: 16 hex digits.
pub(crate) fn session_text(id: SessionId) -> String {
    format!("{:016x}", id.0)
}

/// The session that a text names.
pub(crate) fn session_of(text: &str) -> Option<SessionId> {
    if text.len() != 16 {
        return None;
    }
    u64::from_str_radix(text, 16).ok().map(SessionId)
}

/// The difficulty that a password asks for: `d=1024` or `diff=1024`, alone or among other options.
pub(crate) fn password_difficulty(password: &str) -> Option<f64> {
    password.split([',', ';', ' ', '&', '/']).find_map(|option| {
        let (key, value) = option.trim().split_once('=')?;
        if !key.eq_ignore_ascii_case("d") && !key.eq_ignore_ascii_case("diff") {
            return None;
        }
        value.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_carry_a_difficulty_among_other_options() {
        for (password, difficulty) in [
            ("d=1024", Some(1024.0)),
            ("x,diff=0.5", Some(0.5)),
            ("c=BTC D=8", Some(8.0)),
            ("x", None),
            ("d=", None),
            ("d=-3", None),
            ("d=inf", None),
            ("id=5", None),
        ] {
            assert_eq!(password_difficulty(password), difficulty, "{password:?}");
        }
    }

    #[test]
    fn a_worker_is_what_follows_the_address() {
        assert_eq!(worker_of("bc1q.rig1"), "rig1");
        assert_eq!(worker_of("bc1q.rig.2"), "rig.2");
        assert_eq!(worker_of("rig3"), "rig3");
        let long = "ä".repeat(100);
        assert_eq!(worker_of(&long).len(), 64);
    }

    #[test]
    fn a_session_id_is_sixteen_hex_digits_both_ways() {
        let id = SessionId(0xa843_016b);
        assert_eq!(session_text(id), "00000000a843016b");
        assert_eq!(session_of(&session_text(id)), Some(id));
        assert_eq!(session_of("a843016b"), None);
        assert_eq!(session_of("00000000a843016+"), None);
    }

    #[test]
    fn the_newest_jobs_session_stage_stays_whichever_old_ones_are_named() {
        let text = "recipe 1 \"t\"\nsession prefix:2\nshare n:4\nx = cat prefix n\npow = sha256d x\n\njudge be pow | id pow";
        let recipe = Recipe::compile("t", text, &millpond_algorithms::Algorithms::native()).unwrap();
        let stage = || Arc::new(recipe.job(&[] as &[Vec<u8>]).unwrap().session(&[vec![0; 2]]).unwrap());
        let wire = |job| WireJob { job: JobId(job), epoch: 0 };
        let kept = |stages: &Stages| stages.0.iter().map(|(wire, _)| wire.job.0).collect::<Vec<_>>();
        let mut stages = Stages::default();
        for job in [1, 2, 3] {
            stages.put(wire(job), stage(), Some(wire(job)));
        }
        assert_eq!(kept(&stages), [3, 2]);
        // A late share of the job before stays cheap beside those of the newest,
        assert!(stages.get(wire(2)).is_some() && stages.get(wire(3)).is_some());
        stages.put(wire(1), stage(), Some(wire(3)));
        assert_eq!(kept(&stages), [1, 3], "one of an older takes the place of the one before");
        stages.put(wire(2), stage(), Some(wire(3)));
        assert_eq!(kept(&stages), [2, 3]);
        // and without a newest among them, who was asked for longest ago goes.
        assert!(stages.get(wire(3)).is_some());
        stages.put(wire(4), stage(), Some(wire(4)));
        assert_eq!(kept(&stages), [4, 3]);
    }

    #[test]
    fn a_count_fills_the_width_of_its_field() {
        assert_eq!(big_endian(258, 4), [0, 0, 1, 2]);
        assert_eq!(big_endian(258, 1), [2]);
        assert_eq!(big_endian(258, 10), [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
