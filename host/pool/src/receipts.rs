//! Receipts: what was counted of a miner's shares, signed while they come, for whoever asks. He can hold them against a
//! statement of later: his leaf must have no less work.
//!
//! Who asks for an address's receipts has them made from then on, one for each connection and time he asks. Nothing is kept
//! for whom nobody asks, and on the path of a share stands a look into a map that is empty then. Shares enter a receipt
//! where their number is durable and never before. It is all in memory: keeping receipts is the miner's business.

use crate::core::Core;
use arc_swap::ArcSwap;
use millpond_ledger::Owner;
use millpond_proofs::{Connection, ReceiptBody, SignedReceipt, add_share};
use millpond_stratum::Accepted;
use millpond_types::{Digest, MinerId, SessionId, ShareSeq, UnixMillis};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// So many miners have receipts made at one time.
pub const MOST_ASKED: usize = 4_096;
/// Nobody asked for so long, in milliseconds: no more are made.
pub const FORGOTTEN_MS: u64 = 24 * 60 * 60 * 1000;
/// A connection's next receipt is made no earlier than this behind the one before, in milliseconds.
pub const PAUSE_MS: u64 = 10_000;
/// So many receipts of a miner are kept, the newest.
pub const KEPT: usize = 256;
/// Connections of a miner that are counted at one time; shares of more have no receipts.
const CONNECTIONS: usize = 256;

/// Why there are no receipts.
#[derive(Debug, thiserror::Error)]
pub enum NoReceipts {
    /// The pool signs nothing now.
    #[error("this pool signs nothing now: its operator was told why")]
    Off,
    /// Nobody of this address has mined here.
    #[error("no miner of this address has mined here: ask again when a share was accepted")]
    Stranger,
    /// Too many ask.
    #[error("receipts are made for {MOST_ASKED} miners already: ask again later")]
    Full,
}

/// Shares of a connection since its last receipt.
struct Running {
    first: ShareSeq,
    last: ShareSeq,
    count: u64,
    work: u128,
    ids: Digest,
    from: UnixMillis,
    to: UnixMillis,
}

struct Line {
    connection: Connection,
    number: u32,
    prev: Digest,
    /// The last share of the last receipt, and when that was made.
    signed: (ShareSeq, UnixMillis),
    running: Option<Running>,
}

#[derive(Default)]
struct Lines {
    of: HashMap<SessionId, Line>,
    signed: VecDeque<SignedReceipt>,
    asked: UnixMillis,
}

/// The receipts of a miner who asked for them.
#[derive(Default)]
pub(crate) struct Asked(Mutex<Lines>);

impl Asked {
    /// A share that counted has its number.
    pub(crate) fn accepted(&self, session: SessionId, seq: ShareSeq, share: &Counted) {
        let mut lines = self.0.lock();
        if lines.of.len() >= CONNECTIONS && !lines.of.contains_key(&session) {
            return;
        }
        let line = lines.of.entry(session).or_insert_with(|| Line {
            connection: Connection(rand::random()),
            number: 0,
            prev: Digest::default(),
            signed: (ShareSeq(0), UnixMillis(0)),
            running: None,
        });
        // One that became durable behind the next, which has its receipt already: numbers of receipts do not overlap.
        if seq <= line.signed.0 {
            return;
        }
        let running = line.running.get_or_insert(Running {
            first: seq,
            last: seq,
            count: 0,
            work: 0,
            ids: Digest::default(),
            from: share.time,
            to: share.time,
        });
        running.first = running.first.min(seq);
        running.last = running.last.max(seq);
        running.count = running.count.saturating_add(1);
        running.work = running.work.saturating_add(u128::from(share.work));
        running.ids = add_share(&running.ids, &Digest(share.id));
        running.from = running.from.min(share.time);
        running.to = running.to.max(share.time);
    }

    /// Signs what came since, and gives all that are kept, oldest first. `sign` fills in what is the pool's.
    fn ask(
        &self,
        now: UnixMillis,
        sign: impl Fn(ReceiptBody) -> Option<SignedReceipt>,
    ) -> Vec<SignedReceipt> {
        let mut lines = self.0.lock();
        let Lines { of, signed, asked } = &mut *lines;
        *asked = now;
        // In the order of their shares, so that an answer reads as a history.
        let mut due: BTreeMap<ShareSeq, &mut Line> = BTreeMap::new();
        for line in of.values_mut() {
            if let Some(running) = line.running.as_ref().filter(|_| now.since(line.signed.1) >= PAUSE_MS) {
                due.insert(running.last, line);
            }
        }
        for line in due.into_values() {
            let Some(running) = &line.running else { continue };
            let Some(receipt) = sign(line.body(running)) else { continue };
            line.signed = (running.last, now);
            line.prev = receipt.body.hash();
            line.number = line.number.saturating_add(1);
            line.running = None;
            signed.push_back(receipt);
        }
        while signed.len() > KEPT {
            signed.pop_front();
        }
        of.retain(|_, line| line.running.is_some() || now.since(line.signed.1) < FORGOTTEN_MS);
        signed.iter().cloned().collect()
    }
}

impl Line {
    fn body(&self, running: &Running) -> ReceiptBody {
        ReceiptBody {
            version: millpond_proofs::VERSION,
            pool: Digest::default(),
            key: millpond_proofs::PublicKey([0; 32]),
            restarts: 0,
            head: 0,
            owner: String::new(),
            address: String::new(),
            connection: self.connection,
            number: self.number,
            prev: self.prev,
            first: running.first,
            last: running.last,
            count: running.count,
            work: running.work,
            shift: 0,
            ids: running.ids,
            from: running.from,
            to: running.to,
        }
    }
}

/// What a receipt says of a share.
pub(crate) struct Counted {
    pub(crate) id: [u8; 32],
    pub(crate) work: u64,
    pub(crate) time: UnixMillis,
}

impl Counted {
    pub(crate) fn of(share: &Accepted) -> Self {
        Self { id: share.id, work: share.work.0, time: share.time }
    }
}

/// Who asked for receipts.
#[derive(Default)]
pub(crate) struct Receipts {
    asked: ArcSwap<HashMap<MinerId, Arc<Asked>>>,
}

impl Receipts {
    /// Where a miner's shares are counted, if he asked.
    pub(crate) fn of(&self, miner: MinerId) -> Option<Arc<Asked>> {
        let asked = self.asked.load();
        if asked.is_empty() { None } else { asked.get(&miner).cloned() }
    }

    /// A miner's receipts up to now; from now on more are made.
    pub(crate) fn ask(
        &self,
        core: &Core,
        address: &str,
        now: UnixMillis,
    ) -> Result<Vec<SignedReceipt>, NoReceipts> {
        let proofs = core.proofs.as_ref().filter(|proofs| !proofs.is_held()).ok_or(NoReceipts::Off)?;
        let miner = core.journal.miner_by_address(address).ok_or(NoReceipts::Stranger)?;
        let asked = self.begin(miner.id, now)?;
        let owner = Owner::Miner(miner.id).to_string();
        Ok(asked.ask(now, |body| {
            proofs.receipt(ReceiptBody { owner: owner.clone(), address: miner.address.clone(), ..body })
        }))
    }

    fn begin(&self, miner: MinerId, now: UnixMillis) -> Result<Arc<Asked>, NoReceipts> {
        if let Some(known) = self.of(miner) {
            return Ok(known);
        }
        let new = Arc::new(Asked::default());
        new.0.lock().asked = now;
        let mut result = Err(NoReceipts::Full);
        self.asked.rcu(|known| {
            let mut all = HashMap::clone(known);
            all.retain(|_, asked| now.since(asked.0.lock().asked) < FORGOTTEN_MS);
            result = if all.len() < MOST_ASKED || all.contains_key(&miner) {
                Ok(Arc::clone(all.entry(miner).or_insert_with(|| Arc::clone(&new))))
            } else {
                Err(NoReceipts::Full)
            };
            all
        });
        result
    }
}

impl crate::Pool {
    /// A miner's receipts up to now, oldest first, the newest [`KEPT`]. From the first time that somebody asks on they are
    /// made, and until nobody has asked for a day.
    ///
    /// # Errors
    /// Why there are none.
    pub fn receipts(&self, address: &str, now: UnixMillis) -> Result<Vec<SignedReceipt>, NoReceipts> {
        self.core.receipts.ask(&self.core, address, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_proofs::Signer;

    fn share(number: u8) -> Counted {
        Counted { id: [number; 32], work: u64::from(number), time: UnixMillis(u64::from(number)) }
    }

    fn sign(body: ReceiptBody) -> Option<SignedReceipt> {
        Some(SignedReceipt::sign(body, &Signer::new(&[1; 32])))
    }

    #[test]
    fn receipts_of_a_connection_are_numbered_chained_and_do_not_overlap() {
        let asked = Asked::default();
        let (one, two) = (SessionId(1), SessionId(2));
        for (session, seq, number) in [(one, 4, 1), (two, 5, 2), (one, 7, 3), (one, 6, 4)] {
            asked.accepted(session, ShareSeq(seq), &share(number));
        }
        let first = asked.ask(UnixMillis(20_000), sign);
        let said: Vec<_> = first.iter().map(|it| (it.body.first.0, it.body.last.0, it.body.count)).collect();
        assert_eq!(said, [(5, 5, 1), (4, 7, 3)]);
        assert_eq!(first[1].body.work, 8);
        let ids = [1, 3, 4].map(|number| Digest([number; 32]));
        assert_eq!(first[1].body.ids, ids.iter().fold(Digest::default(), |ids, id| add_share(&ids, id)));
        assert_ne!(first[0].body.connection, first[1].body.connection);

        // One that became durable behind its receipt is in none; the next receipt names the one before.
        asked.accepted(one, ShareSeq(3), &share(5));
        asked.accepted(one, ShareSeq(9), &share(6));
        assert_eq!(asked.ask(UnixMillis(20_001), sign), first, "not every moment");
        let all = asked.ask(UnixMillis(30_000), sign);
        let next = &all[2].body;
        assert_eq!((next.number, next.prev, next.first.0, next.work), (1, first[1].body.hash(), 9, 6));
        assert_eq!(asked.ask(UnixMillis(50_000), sign), all, "nothing came since");
    }

    #[test]
    fn what_cannot_be_signed_is_kept_until_it_can() {
        let asked = Asked::default();
        asked.accepted(SessionId(1), ShareSeq(1), &share(1));
        assert_eq!(asked.ask(UnixMillis(20_000), |_| None), []);
        assert_eq!(asked.ask(UnixMillis(20_000), sign).len(), 1);
    }

    #[test]
    fn only_so_many_have_them_made_and_who_does_not_ask_for_a_day_gives_way() {
        let receipts = Receipts::default();
        let most = MOST_ASKED as u64;
        for miner in 1..=most {
            receipts.begin(MinerId(miner), UnixMillis(miner)).unwrap();
        }
        let late = MinerId(most + 1);
        assert!(matches!(receipts.begin(late, UnixMillis(most)), Err(NoReceipts::Full)));
        assert!(receipts.begin(MinerId(7), UnixMillis(most)).is_ok());
        assert!(receipts.begin(late, UnixMillis(FORGOTTEN_MS + 1)).is_ok());
        assert!(receipts.of(MinerId(1)).is_none() && receipts.of(MinerId(2)).is_some());
    }

    #[test]
    fn a_miner_of_many_connections_keeps_the_newest() {
        let asked = Asked::default();
        for session in 0..=CONNECTIONS as u64 {
            asked.accepted(SessionId(session), ShareSeq(session + 1), &share(1));
        }
        assert_eq!(asked.ask(UnixMillis(20_000), sign).len(), CONNECTIONS, "shares of one more are in none");
        asked.accepted(SessionId(0), ShareSeq(1_000), &share(1));
        let kept = asked.ask(UnixMillis(40_000), sign);
        assert_eq!((kept.len(), kept.last().unwrap().body.first.0), (KEPT, 1_000));
    }
}
