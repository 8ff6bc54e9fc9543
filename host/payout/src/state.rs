//! A scheme's state between calls: a memo and up to eight integers per miner. The scheme's debts are in here, so every
//! change is stored in the ledger entry that it belongs to, and the state is what those entries add up to.

use crate::owed::is_of_before;
use crate::pseudonyms::Pseudonyms;
use crate::{BoundScheme, PayoutError, Rule};
use millpond_contracts::payout::{State, Terms};
use millpond_ledger::IncomeKey;
use millpond_types::{Amount, MinerId, ShareSeq};
use millpond_windows::Unpaid;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The memo's limit, by the contract.
const MAX_MEMO: usize = 64 << 10;

/// What one call changed. Serialised as JSON into the ledger entry of the same decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// The state's format.
    pub format: String,
    /// Cells per miner.
    pub width: u8,
    /// The share behind which the scheme came into force.
    #[serde(default)]
    pub since: ShareSeq,
    /// The new memo, in hex; `None` when it did not change.
    pub memo: Option<String>,
    /// Changed rows, ascending; all zero means forgotten.
    pub rows: Vec<(MinerId, Vec<u64>)>,
    /// The newest share that counts in the state from here on, for a scheme that takes shares again when an income is
    /// lost ([`BoundScheme::takes_again`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<ShareSeq>,
    /// What no income has paid from here on, for a scheme that pays a share once ([`BoundScheme::pays_once`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<Unpaid>,
    /// What becomes of the state of a scheme that this one followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// Miners of before a boundary are forgotten: none of them would get a unit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forgets: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What a change says of the state of a scheme that another followed, and that still pays what it owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// It is set aside from here on.
    Kept,
    /// The same, and an income changes it.
    Changed {
        /// What is changed.
        change: Box<StateChange>,
        /// What of the income and of what was carried to it was the other's to divide.
        rest: Amount,
    },
    /// It is dropped: nothing is owed by it any more.
    Settled,
}

impl StateChange {
    /// As it stands in the ledger's entry; nothing for no change.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let nothing = self.memo.is_none() && self.rows.is_empty() && self.beside.is_none() && !self.forgets;
        if nothing && self.given.is_none() && self.unpaid.is_none() {
            return Vec::new();
        }
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what an entry holds: `None` for no change.
    ///
    /// # Errors
    /// When the bytes are no change.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, PayoutError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(bytes)
            .map(Some)
            .map_err(|error| PayoutError::Input(format!("a stored change of state cannot be read: {error}")))
    }
}

impl BoundScheme {
    /// The change that an entry of this scheme's holds, with what becomes of the state of one that it followed.
    ///
    /// # Errors
    /// When the bytes are no change.
    pub fn change_beside(&self, bytes: &[u8], beside: Beside) -> Result<Vec<u8>, PayoutError> {
        let (format, width) = (self.terms.state_format.clone(), self.terms.cells);
        let own = StateChange::from_bytes(bytes)?;
        let own = own.unwrap_or(StateChange { format, width, since: self.since, ..StateChange::default() });
        Ok(StateChange { beside: Some(beside), ..own }.to_bytes())
    }

    /// Whether a state that is aside is to be dropped with what this scheme changes: it follows nobody, and came into force
    /// behind whoever followed the one that is aside.
    #[must_use]
    pub fn drops_aside(&self, state: &SchemeState) -> bool {
        state.aside().is_some() && !state.is_asides(self) && self.since >= state.since
    }
}

/// The state as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemeState {
    format: String,
    width: u8,
    /// The share behind which the scheme came into force that changed it last.
    since: ShareSeq,
    #[serde(with = "as_hex")]
    memo: Vec<u8>,
    rows: BTreeMap<MinerId, Vec<u64>>,
    /// What each open income changed, oldest first, to be undone.
    undo: Vec<Undo>,
    /// Open incomes that were divided on top of one that was lost and undone, oldest first: to be divided again.
    again: Vec<IncomeKey>,
    /// The newest share that counts in the state, for a scheme that takes shares again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<ShareSeq>,
    /// What no income has paid. Whoever follows a scheme that pays shares once leaves it as it is: an income of before may
    /// come late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpaid: Option<Unpaid>,
    /// The state of a scheme that was followed and still pays what it owes, with what undoes that. Of another format, and with
    /// nothing aside itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aside: Option<Box<SchemeState>>,
}

/// An open income, and what to put back when it is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Undo {
    key: IncomeKey,
    format: String,
    width: u8,
    since: ShareSeq,
    #[serde(with = "as_hex")]
    memo: Vec<u8>,
    rows: Before,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<ShareSeq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpaid: Option<Unpaid>,
    /// What was aside, where that was dropped with this income.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aside: Option<Box<SchemeState>>,
}

/// Bytes as text, a quarter of what a list of numbers takes.
mod as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Rows as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Before {
    /// Those that changed.
    Changed(BTreeMap<MinerId, Vec<u64>>),
    /// All: the state of an earlier scheme was dropped.
    All(BTreeMap<MinerId, Vec<u64>>),
}

/// The state as one scheme sees it.
pub(crate) struct Seen<'a> {
    /// What it works on.
    pub(crate) state: Cow<'a, SchemeState>,
    /// Whether what it changes is kept: not when a scheme of another format has taken over since.
    pub(crate) kept: bool,
}

impl SchemeState {
    /// No state yet, for a scheme.
    #[must_use]
    pub fn new(terms: &Terms) -> Self {
        Self { format: terms.state_format.clone(), width: terms.cells, ..Self::default() }
    }

    /// Whether it holds nothing: no debt can be forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memo.is_empty() && self.rows.is_empty()
    }

    /// Format, cells and memo as bytes, each in one way: what a digest of the state is taken of. Numbers are little-endian
    /// of 64 bits; a length stands before format and memo and before the rows, which ascend by miner, each with its cells. Where
    /// shares are paid once follow the newest share that an income ended at and, behind their number, the stretches that are
    /// unpaid: the first share, the last one, and what of that is paid in 128 bits. Where a scheme that was followed still owes by its
    /// state, the word "aside" and that one's bytes are last.
    #[must_use]
    pub fn to_cells(&self) -> Vec<u8> {
        let number = |of: usize| u64::try_from(of).unwrap_or(u64::MAX).to_le_bytes();
        let mut bytes = Vec::new();
        for text in [self.format.as_bytes(), &self.memo] {
            bytes.extend_from_slice(&number(text.len()));
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(&number(usize::from(self.width)));
        bytes.extend_from_slice(&number(self.rows.len()));
        for (miner, cells) in &self.rows {
            bytes.extend_from_slice(&miner.0.to_le_bytes());
            cells.iter().for_each(|cell| bytes.extend_from_slice(&cell.to_le_bytes()));
        }
        if let Some(unpaid) = &self.unpaid {
            bytes.extend_from_slice(&unpaid.upto().to_le_bytes());
            bytes.extend_from_slice(&number(unpaid.stretches().len()));
            for stretch in unpaid.stretches() {
                for share in [stretch.first, stretch.last] {
                    bytes.extend_from_slice(&share.to_le_bytes());
                }
                bytes.extend_from_slice(&stretch.paid.to_le_bytes());
            }
        }
        if let Some(aside) = &self.aside {
            bytes.extend_from_slice(b"aside");
            bytes.extend_from_slice(&aside.to_cells());
        }
        bytes
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Cells per miner.
    #[must_use]
    pub fn width(&self) -> u8 {
        self.width
    }

    /// Miners with cells.
    pub fn miners(&self) -> impl Iterator<Item = MinerId> + '_ {
        self.rows.keys().copied()
    }

    /// Whether a scheme can work on it.
    #[must_use]
    pub fn fits(&self, terms: &Terms) -> bool {
        self.is_empty() || self.is_of(terms)
    }

    /// The state as a scheme sees it: this one where it fits. A scheme of another format that came into force later
    /// starts with none, which [`crate::check_upgrade`] allows only when what is dropped is less than a unit for each
    /// miner. One that came into force earlier (an income of before a swap comes late) works without state too, and
    /// leaves the present one alone.
    pub(crate) fn seen_by(&self, scheme: &BoundScheme) -> Seen<'_> {
        // An income of before a swap comes late, or shares of before are given again: the state is where it was put.
        if let Some(aside) = self.aside().filter(|_| self.is_asides(scheme)) {
            return Seen { state: Cow::Borrowed(aside), kept: true };
        }
        if self.fits(&scheme.terms) {
            // An empty state has no format to defend, but a scheme that is no longer in force must not begin one.
            let same = self.is_of(&scheme.terms);
            return Seen { state: Cow::Borrowed(self), kept: same || scheme.since >= self.since };
        }
        Seen { state: Cow::Owned(Self::new(&scheme.terms)), kept: scheme.since > self.since }
    }

    /// Applies the change that a ledger entry holds. `income` makes it possible to undo it.
    ///
    /// # Errors
    /// When the bytes are not a change, or one of another format than the state that is there and not of a later
    /// scheme.
    pub fn apply(&mut self, bytes: &[u8], income: Option<&IncomeKey>) -> Result<(), PayoutError> {
        if let Some(key) = income {
            self.again.retain(|waiting| waiting != key);
        }
        let mut change = StateChange::from_bytes(bytes)?;
        let beside = change.as_mut().and_then(|change| change.beside.take());
        if let Some(change) = change.as_ref().filter(|_| beside.is_some()) {
            self.set_aside(change);
        }
        let of_aside = |change: &StateChange| {
            let is_older = change.since < self.since;
            self.aside().is_some_and(|aside| is_older && aside.is_in(&change.format, change.width))
        };
        let (own, of_old) = match (change, beside) {
            (Some(change), None) if of_aside(&change) => (None, Some(change)),
            (_, Some(Beside::Changed { .. })) if self.aside.is_none() => {
                return Err(PayoutError::Input("a change of a state that is not aside".to_owned()));
            }
            (own, Some(Beside::Changed { change, .. })) => (own, Some(*change)),
            (own, Some(Beside::Settled)) => {
                let gone = self.aside.take();
                self.take(own, income)?;
                // Where it owes nobody anything, whatever is lost, there is nothing to put back.
                let gone = gone.filter(|gone| gone.may_have(is_of_before));
                if let Some(undo) = self.undo.last_mut().filter(|_| income.is_some()) {
                    undo.aside = gone;
                }
                return Ok(());
            }
            (own, Some(Beside::Kept) | None) => (own, None),
        };
        self.take(own, income)?;
        match &mut self.aside {
            Some(aside) if income.is_some() || of_old.is_some() => aside.take(of_old, income),
            _ => Ok(()),
        }
    }

    /// What is there is another scheme's from here on, that was followed by the one that changes something now.
    fn set_aside(&mut self, change: &StateChange) {
        // An empty one may hold something again when an open income is lost.
        let is_nothing = self.is_empty() && self.undo.is_empty();
        if self.aside.is_some() || is_nothing || self.is_in(&change.format, change.width) {
            return;
        }
        let since = self.since.max(change.since);
        let format = change.format.clone();
        let mut own = Self { format, width: change.width, since, ..Self::default() };
        own.again = std::mem::take(&mut self.again);
        own.unpaid = self.unpaid.take();
        // What undoes an income of before leaves the new scheme at its beginning.
        own.undo.extend(self.undo.iter_mut().map(|undo| Undo {
            key: undo.key.clone(),
            format: own.format.clone(),
            width: own.width,
            since,
            memo: Vec::new(),
            rows: Before::Changed(BTreeMap::new()),
            given: change.given.map(|_| change.since),
            unpaid: undo.unpaid.take(),
            aside: None,
        }));
        own.aside = Some(Box::new(std::mem::take(self)));
        *self = own;
    }

    /// Changes its own cells: `None` changes none.
    fn take(&mut self, change: Option<StateChange>, income: Option<&IncomeKey>) -> Result<(), PayoutError> {
        let change = change.unwrap_or_else(|| {
            let (format, width, since) = (self.format.clone(), self.width, self.since);
            StateChange { format, width, since, ..StateChange::default() }
        });
        let same = self.is_in(&change.format, change.width);
        let drops = !same && !self.is_empty();
        if drops && change.since <= self.since {
            return Err(PayoutError::Input(format!(
                "a stored change is of format {:?} with {} cells, the state is {:?} with {}",
                change.format, change.width, self.format, self.width
            )));
        }
        if let Some(key) = income {
            let (key, format, memo) = (key.clone(), self.format.clone(), self.memo.clone());
            let (width, since) = (self.width, self.since);
            let rows = Before::Changed(BTreeMap::new());
            // Before the first change it has nothing in it of any share behind the scheme's beginning.
            let given = self.given.or_else(|| change.given.map(|_| change.since));
            let unpaid = self.unpaid.clone();
            self.undo.push(Undo { key, format, width, since, memo, rows, given, unpaid, aside: None });
        }
        // What shares change between an income and the next belongs to what is undone with it, where they are given
        // again then.
        if let Some(undo) = self.undo.last_mut()
            && (income.is_some() || change.given.is_some())
        {
            let forgotten = self.rows.keys().copied().filter(|miner| change.forgets && is_of_before(*miner));
            undo.keep(&self.rows, drops, change.rows.iter().map(|row| row.0).chain(forgotten));
        }
        (self.format, self.width) = (change.format, change.width);
        self.since = self.since.max(change.since);
        self.given = change.given.or(if drops { None } else { self.given });
        self.unpaid = change.unpaid.or_else(|| self.unpaid.take());
        if drops {
            self.memo.clear();
            self.rows.clear();
        }
        if let Some(memo) = change.memo {
            self.memo = hex::decode(memo)
                .map_err(|error| PayoutError::Input(format!("a stored memo is not hex: {error}")))?;
        }
        for (miner, cells) in change.rows {
            self.set(miner, cells);
        }
        if change.forgets {
            self.rows.retain(|miner, _| !is_of_before(*miner));
        }
        Ok(())
    }

    fn set(&mut self, miner: MinerId, cells: Vec<u64>) {
        if cells.iter().all(|cell| *cell == 0) {
            self.rows.remove(&miner);
        } else {
            self.rows.insert(miner, cells);
        }
    }

    /// The income is final: its change can no longer be undone, nor can those before it.
    pub fn settle(&mut self, income: &IncomeKey) {
        if let Some(aside) = &mut self.aside {
            aside.settle(income);
        }
        if let Some(at) = self.undo.iter().position(|undo| undo.key == *income) {
            self.undo.drain(..=at);
        }
    }

    /// Restores the state before an income that was lost (reversal `restore`). The incomes after it were divided on
    /// top of it and are to be divided again: see [`SchemeState::again`]. So are the shares behind it to be given again
    /// where the scheme takes them: see [`SchemeState::given`].
    ///
    /// # Errors
    /// When nothing is known of the income, of a scheme that takes shares again or pays them once. (The state of others is left as it is
    /// then, which old ledgers say.)
    pub fn restore_before(&mut self, income: &IncomeKey) -> Result<(), PayoutError> {
        let waited = self.again.len();
        self.again.retain(|waiting| waiting != income);
        let Some(at) = self.undo.iter().position(|undo| undo.key == *income) else {
            if self.is_by_order() && self.again.len() == waited {
                return Err(PayoutError::Input(format!("the state before income {income} is not kept")));
            }
            return Ok(());
        };
        // What it was given since then by the scheme that is in force now is given again, also where that began behind it.
        let began = self.given.map(|_| self.since);
        let undone = self.undo.split_off(at);
        let after: Vec<IncomeKey> = undone.iter().skip(1).map(|undo| undo.key.clone()).collect();
        for undo in undone.into_iter().rev() {
            (self.format, self.width) = (undo.format, undo.width);
            (self.since, self.memo, self.given) = (undo.since, undo.memo, undo.given);
            self.unpaid = undo.unpaid;
            self.aside = undo.aside.or_else(|| self.aside.take());
            match undo.rows {
                Before::All(rows) => self.rows = rows,
                Before::Changed(rows) => rows.into_iter().for_each(|(miner, cells)| self.set(miner, cells)),
            }
        }
        self.given = self.given.or(began);
        // Those that waited already were divided later.
        self.again.splice(0..0, after);
        // Each income is known to both, but for those behind which nothing was aside any more.
        match &mut self.aside {
            Some(aside) if aside.undo.iter().any(|undo| undo.key == *income) => {
                aside.restore_before(income)?;
                aside.again.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The newest share that counts in the state, for a scheme that takes shares again: behind it are those to be given
    /// again when an income was lost. `None` for other schemes.
    #[must_use]
    pub fn given(&self) -> Option<ShareSeq> {
        self.given
    }

    /// What no income has paid, where a scheme pays shares once.
    #[must_use]
    pub fn unpaid(&self) -> Option<&Unpaid> {
        self.unpaid.as_ref()
    }

    /// The oldest of the newest shares that counted in the state, as it stands and before each open income; `None` where shares
    /// do not count in it, or none did.
    #[must_use]
    pub fn oldest_given(&self) -> Option<ShareSeq> {
        self.undo.iter().filter_map(|undo| undo.given).chain(self.given).min()
    }

    /// The same of what is aside, or would be again where an open income is lost.
    #[must_use]
    pub fn oldest_given_aside(&self) -> Option<ShareSeq> {
        let aside = self.undo.iter().filter_map(|undo| undo.aside.as_deref()).chain(self.aside());
        aside.filter_map(Self::oldest_given).min()
    }

    /// The oldest share that an income may pay, of those up to the newest that incomes ended at, whichever of the open ones
    /// are lost; `None` where that is any.
    #[must_use]
    pub fn oldest_unpaid(&self) -> Option<ShareSeq> {
        let before = self.undo.iter().map(|undo| undo.unpaid.as_ref());
        let oldest = before.chain([self.unpaid()]).map(|list| list.map(Unpaid::oldest));
        // None is the least.
        oldest.min().flatten().map(ShareSeq)
    }

    /// Whether it depends on the order of incomes: what an earlier one changed is put back on the way to a later one.
    #[must_use]
    pub fn is_by_order(&self) -> bool {
        self.given.is_some() || self.unpaid.is_some() || self.holds_aside()
    }

    /// The state of a scheme that was followed, where that is set aside.
    #[must_use]
    pub fn aside(&self) -> Option<&Self> {
        self.aside.as_deref()
    }

    /// Whether what is aside is a scheme's, that came into force before the one which followed it.
    #[must_use]
    pub fn is_asides(&self, scheme: &BoundScheme) -> bool {
        scheme.since < self.since && self.aside().is_some_and(|aside| aside.is_of(&scheme.terms))
    }

    /// Whether anything is aside, or would be again where an open income is lost: until that is over nobody else is followed.
    #[must_use]
    pub fn holds_aside(&self) -> bool {
        self.aside.is_some() || self.undo.iter().any(|undo| undo.aside.is_some())
    }

    /// What a scheme of these terms keeps of miners that another one followed behind this share: aside, or where it was as long
    /// as that changed nothing.
    #[must_use]
    pub fn kept_by(&self, terms: &Terms, floor: ShareSeq) -> Option<&Self> {
        // What came into force behind it is the state of one that has come back, and not its.
        let own = (self.since < floor).then_some(self);
        self.aside().into_iter().chain(own).find(|state| state.is_of(terms))
    }

    /// Whether miners of this kind have cells.
    pub fn has(&self, kind: impl Fn(MinerId) -> bool) -> bool {
        self.miners().any(kind)
    }

    /// As [`SchemeState::has`], also when any income that is open is lost.
    pub fn may_have(&self, kind: impl Fn(MinerId) -> bool) -> bool {
        let before = self.undo.iter().flat_map(|undo| match &undo.rows {
            Before::Changed(rows) | Before::All(rows) => rows.iter(),
        });
        let mut before = before.filter(|row| row.1.iter().any(|cell| *cell > 0));
        before.any(|row| kind(*row.0)) || self.has(kind)
    }

    /// The cells alone, without what undoes incomes.
    pub(crate) fn cells_alone(&self) -> Self {
        let (format, width, since) = (self.format.clone(), self.width, self.since);
        let (memo, rows) = (self.memo.clone(), self.rows.clone());
        Self { format, width, since, memo, rows, ..Self::default() }
    }

    fn is_in(&self, format: &str, width: u8) -> bool {
        self.format == format && self.width == width
    }

    fn is_of(&self, terms: &Terms) -> bool {
        self.is_in(&terms.state_format, terms.cells)
    }

    /// The same state but for what no income has paid: of a scheme whose change is not kept, that is all that is.
    pub(crate) fn only_unpaid(&self, unpaid: Unpaid) -> StateChange {
        let (format, width, since) = (self.format.clone(), self.width, self.since);
        StateChange { format, width, since, unpaid: Some(unpaid), ..StateChange::default() }
    }

    /// Incomes whose change can be undone, that were divided before this one: as long as one of them may be lost, the
    /// state before it is needed.
    pub fn before(&self, income: &IncomeKey) -> impl Iterator<Item = &IncomeKey> {
        let at = self.undo.iter().position(|undo| undo.key == *income).unwrap_or(0);
        self.undo.iter().take(at).map(|undo| &undo.key)
    }

    /// Open incomes that stand as divided on top of a lost one, oldest first: each is to be taken back and divided
    /// again.
    #[must_use]
    pub fn again(&self) -> &[IncomeKey] {
        &self.again
    }

    /// An income is not to be divided again after all: the chain has lost it too.
    pub fn forget(&mut self, income: &IncomeKey) {
        self.again.retain(|waiting| waiting != income);
    }

    pub(crate) fn rows(&self) -> Vec<(MinerId, Vec<u64>)> {
        self.rows.iter().map(|(miner, cells)| (*miner, cells.clone())).collect()
    }

    /// As the plugin gets it.
    pub(crate) fn under(&self, names: &Pseudonyms) -> State {
        let width = usize::from(self.width);
        // A batch of shares names a few of the miners that have cells: these are looked up one by one.
        let named = if names.len().saturating_mul(16) < self.rows.len() {
            names.named(names.miners().iter().filter_map(|miner| Some((*miner, self.rows.get(miner)?))))
        } else {
            names.named(self.rows.iter().map(|(miner, cells)| (*miner, cells)))
        };
        let mut state = State { memo: self.memo.clone(), ..State::default() };
        state.cells.reserve(named.len().saturating_mul(width));
        for (name, cells) in (1..).zip(named) {
            if let Some(cells) = cells {
                state.miner.push(name);
                state.cells.extend_from_slice(cells);
            }
        }
        state
    }

    /// Checks what the plugin gave back, and names the miners.
    pub(crate) fn change(
        scheme: &BoundScheme,
        function: &'static str,
        given: &State,
        names: &Pseudonyms,
    ) -> Result<StateChange, PayoutError> {
        let broken = |detail: String| Err(scheme.broken(function, Rule::State, detail));
        let width = usize::from(scheme.terms.cells);
        if given.memo.len() > MAX_MEMO {
            return broken(format!("a memo of {} bytes, at most {MAX_MEMO}", given.memo.len()));
        }
        if given.cells.len() != given.miner.len().saturating_mul(width) {
            let (cells, miners) = (given.cells.len(), given.miner.len());
            return broken(format!("{cells} cells for {miners} miners of {width} each"));
        }
        if width == 0 && !given.miner.is_empty() {
            return broken("rows of cells, but the terms declare none".to_owned());
        }
        if !given.miner.iter().zip(given.miner.iter().skip(1)).all(|(a, b)| a < b) {
            return broken("miners of the cells are not strictly ascending".to_owned());
        }
        let mut rows = Vec::with_capacity(given.miner.len());
        for (name, cells) in given.miner.iter().zip(given.cells.chunks_exact(width.max(1))) {
            match names.miner(*name) {
                Some(miner) => rows.push((miner, cells.to_vec())),
                None => return broken(format!("cells for miner {name}, who was not handed in")),
            }
        }
        rows.sort_unstable_by_key(|row| row.0);
        let memo = (!given.memo.is_empty()).then(|| hex::encode(&given.memo));
        let (format, width, since) = (scheme.terms.state_format.clone(), scheme.terms.cells, scheme.since);
        Ok(StateChange { format, width, since, memo, rows, ..StateChange::default() })
    }
}

impl Undo {
    /// Keeps rows as they are before they change: the first time only, and all of them when all are dropped.
    fn keep(
        &mut self,
        rows: &BTreeMap<MinerId, Vec<u64>>,
        drops: bool,
        changed: impl Iterator<Item = MinerId>,
    ) {
        let Before::Changed(kept) = &mut self.rows else { return };
        if drops {
            let mut all = rows.clone();
            for (miner, cells) in std::mem::take(kept) {
                if cells.is_empty() {
                    all.remove(&miner);
                } else {
                    all.insert(miner, cells);
                }
            }
            self.rows = Before::All(all);
        } else {
            for miner in changed {
                kept.entry(miner).or_insert_with(|| rows.get(&miner).cloned().unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(rows: &[(u64, u64)]) -> Vec<u8> {
        let rows = rows.iter().map(|(miner, cell)| (MinerId(*miner), vec![*cell])).collect();
        StateChange { format: "f".to_owned(), width: 1, rows, ..StateChange::default() }.to_bytes()
    }

    #[test]
    fn a_call_about_few_miners_gets_the_cells_that_one_about_many_gets() {
        let mut state = SchemeState::default();
        let rows: Vec<_> = (1..=100).filter(|miner| miner % 3 != 0).map(|miner| (miner, miner * 7)).collect();
        state.apply(&change(&rows), None).unwrap();
        // Three of 67 rows are looked up one by one; for many all rows are walked.
        for few in [vec![2, 3, 50], (1..=120).collect::<Vec<u64>>()] {
            let miners: Vec<_> = few.iter().copied().map(MinerId).collect();
            let names = Pseudonyms::new(&miners, b"key", 0);
            let mut expected: Vec<_> =
                rows.iter().filter_map(|(miner, cell)| Some((names.name(MinerId(*miner))?, *cell))).collect();
            expected.sort_unstable();
            let given = state.under(&names);
            assert_eq!(given.miner.into_iter().zip(given.cells).collect::<Vec<_>>(), expected);
            assert!(!expected.is_empty());
        }
    }

    #[test]
    fn a_state_that_was_written_down_is_the_same_with_what_undoes_it() {
        let keys: Vec<_> = (0..3_u8).map(|at| IncomeKey::new(vec![at]).unwrap()).collect();
        let mut state = SchemeState::default();
        let memo = StateChange {
            memo: Some("00ff".to_owned()),
            format: "f".to_owned(),
            width: 1,
            ..StateChange::default()
        };
        state.apply(&memo.to_bytes(), Some(&keys[0])).unwrap();
        state.apply(&change(&[(1, u64::MAX), (2, 7)]), Some(&keys[1])).unwrap();
        let mut other = SchemeState::default();
        other.apply(&change(&[(1, 3)]), None).unwrap();
        let dropping = StateChange {
            format: "g".to_owned(),
            since: ShareSeq(9),
            rows: vec![(MinerId(4), vec![1, 2])],
            width: 2,
            ..StateChange::default()
        };
        other.apply(&dropping.to_bytes(), Some(&keys[2])).unwrap();
        for state in [state, other] {
            let bytes = serde_json::to_vec(&state).unwrap();
            let mut read: SchemeState = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(read, state);
            let mut undone = state.clone();
            for key in &keys[1..] {
                read.restore_before(key).unwrap();
                undone.restore_before(key).unwrap();
            }
            assert_eq!(read, undone);
            assert_ne!(read, state);
        }
    }

    #[test]
    fn a_lost_income_restores_the_cells_and_names_the_incomes_after_it() {
        let keys: Vec<_> = (0..3_u8).map(|at| IncomeKey::new(vec![at]).unwrap()).collect();
        let mut state = SchemeState::default();
        state.apply(&change(&[(1, 5)]), Some(&keys[0])).unwrap();
        let before = state.clone();
        state.apply(&change(&[(1, 0), (2, 7)]), Some(&keys[1])).unwrap();
        state.apply(&change(&[(2, 9)]), Some(&keys[2])).unwrap();
        state.restore_before(&keys[1]).unwrap();
        assert_eq!(state.again(), [keys[2].clone()]);
        // Divided again: it waits no longer.
        state.apply(&change(&[]), Some(&keys[2])).unwrap();
        assert_eq!(state.again(), []);
        state.restore_before(&keys[2]).unwrap();
        assert_eq!(state, before);
        state.settle(&keys[0]);
        state.restore_before(&keys[0]).unwrap();
        assert_eq!(state.again(), []);
        assert!(!state.is_empty());
    }

    #[test]
    fn a_change_of_another_format_is_refused() {
        let mut state = SchemeState::default();
        state.apply(&change(&[(1, 5)]), None).unwrap();
        let mut other = StateChange {
            format: "g".to_owned(),
            width: 1,
            since: ShareSeq(0),
            rows: vec![(MinerId(1), vec![1])],
            ..StateChange::default()
        };
        assert!(state.apply(&other.to_bytes(), None).is_err());
        // But of a scheme that took over later it begins anew, and can be undone.
        let before = state.clone();
        let key = IncomeKey::new(vec![9]).unwrap();
        other.since = ShareSeq(70);
        other.rows = vec![(MinerId(2), vec![3])];
        state.apply(&other.to_bytes(), Some(&key)).unwrap();
        assert_eq!((state.format(), state.rows()), ("g", vec![(MinerId(2), vec![3])]));
        state.restore_before(&key).unwrap();
        assert_eq!(state, before);
    }
}
