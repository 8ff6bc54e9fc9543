//! What becomes of our blocks. A block is accepted while the node's best chain has it at its height; it is an orphan
//! only when another block stands there with enough confirmations, and even that is taken back if the chain returns.
//! A node that does not answer, or does not know the block (-5), proves nothing.

use super::nodes::Node;
use super::solved::Private;
use super::{Ask, Chain, Coin, FOLLOW, LONG_POLL_MS, Profile};
use crate::chain::{Action, CallError, ErrorKind, Fate, Income, IncomeAt, Watched};
use crate::{hex, json::Cursor};

/// Blocks that are asked about at a time. The host has a bound of 128 calls in flight, for everything.
const AT_ONCE: usize = 64;

/// A block of ours that is not final.
#[derive(Debug, Clone)]
pub struct Ours {
    /// Its hash as RPC prints it.
    pub block: Vec<u8>,
    /// Its height.
    pub height: u64,
    /// Amount of each output of its coinbase, and whether it is the pool's own.
    paid: Vec<(u64, bool)>,
    /// Whether a question about it is under way.
    pub asked: bool,
    /// The fate last reported.
    fate: Option<Fate>,
}

/// What a node said about a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Our block stands there.
    Ours,
    /// Another one does.
    Other,
}

impl Ours {
    /// From what the host keeps; `paid` as read from the job's private bytes.
    pub fn new(watched: Watched, paid: Vec<(u64, bool)>) -> Self {
        Self { block: watched.block, height: watched.coord, paid, asked: false, fate: None }
    }

    /// What to report now that the block at our height has so many confirmations, and whether it can be forgotten.
    pub fn seen(
        &mut self,
        seen: Seen,
        confirmations: i64,
        profile: &Profile,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Ok(depth @ 1..) = u32::try_from(confirmations) else { return false };
        let fate = match seen {
            Seen::Ours if depth >= profile.maturity => Fate::Final,
            Seen::Ours => Fate::Accepted(depth),
            Seen::Other if depth >= profile.orphan_after => Fate::Orphan(format!(
                "another block at height {} has {} confirmations",
                self.height, profile.orphan_after
            )),
            Seen::Other => Fate::Pending(0),
        };
        self.report(fate, actions);
        depth >= profile.maturity
    }

    /// The node's chain does not reach the block's height yet.
    pub fn ahead(&mut self, actions: &mut Vec<Action>) {
        self.report(Fate::Pending(0), actions);
    }

    fn report(&mut self, fate: Fate, actions: &mut Vec<Action>) {
        if self.fate.as_ref() == Some(&fate) {
            return;
        }
        let in_chain = |fate: &Fate| matches!(fate, Fate::Accepted(_) | Fate::Final);
        actions.push(Action::Fate((self.block.clone(), fate.clone())));
        let was = self.fate.as_ref().is_some_and(in_chain);
        // Where the coinbase pays the session itself, all of it is one income, which the chain has divided already.
        let direct = self.paid.iter().any(|(_, own)| !own);
        let sum = self.paid.iter().fold(0_u64, |sum, (amount, _)| sum.saturating_add(*amount));
        let whole = [(sum, true)];
        let paid = if direct { whole.as_slice() } else { self.paid.as_slice() };
        for (at, (amount, _)) in paid.iter().enumerate() {
            let key = [self.block.as_slice(), &u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes()].concat();
            let income = |mature| {
                Action::Income(Income {
                    key: key.clone(),
                    amount: *amount,
                    at: IncomeAt::Block(self.block.clone()),
                    mature,
                })
            };
            match fate {
                Fate::Final => actions.push(income(true)),
                Fate::Accepted(_) if !was => actions.push(income(false)),
                Fate::Orphan(_) => actions.push(Action::IncomeLost(key)),
                _ => {}
            }
        }
        self.fate = Some(fate);
    }
}

/// The blocks to ask about now: no more at a time than the host lets an adapter ask, and those first that wait longest.
/// The others have their turn at the next tip or timer.
fn next_to_ask(ours: &mut [Ours]) -> Vec<(Vec<u8>, u64)> {
    let under_way = ours.iter().filter(|ours| ours.asked).count();
    let free = ours.iter_mut().filter(|ours| !ours.asked).take(AT_ONCE.saturating_sub(under_way));
    let due = free.map(|ours| {
        ours.asked = true;
        (ours.block.clone(), ours.height)
    });
    let due = due.collect();
    ours.sort_by_key(|ours| ours.asked);
    due
}

impl<C: Coin> Chain<C> {
    /// Follows a block of ours from now on.
    pub(crate) fn watch(&mut self, watched: Watched) {
        if self.ours.iter().any(|ours| ours.block == watched.block) {
            return;
        }
        let paid = Private::read(&watched.saved).map(|private| private.paid);
        if paid.is_none() {
            let text = format!(
                "block {}: its payments cannot be read, no income will be reported",
                hex::encode(&watched.block)
            );
            self.actions.push(Action::Alarm((false, text)));
        }
        self.ours.push(Ours::new(watched, paid.unwrap_or_default()));
    }

    /// Asks what stands at the heights of our blocks.
    pub(crate) fn follow(&mut self) {
        if self.ours.is_empty() {
            return;
        }
        self.actions.push(Action::Timer((FOLLOW, LONG_POLL_MS)));
        // The node that is worked on while it gives templates, else one that does, else any: every one of them can tell
        // what stands at a height.
        let works = |node: &Node| node.fit && node.tip.is_some();
        let shown = self.shown.as_ref().map(|shown| shown.link);
        let shown = shown.filter(|link| self.nodes.get(link).is_some_and(works));
        let first = |good: &dyn Fn(&Node) -> bool| {
            self.nodes.iter().find(|(_, node)| good(node)).map(|(link, _)| *link)
        };
        let Some(link) = shown.or_else(|| first(&works)).or_else(|| first(&|node| node.fit)) else { return };
        let due = next_to_ask(&mut self.ours);
        for (block, height) in due {
            self.ask(link, Ask::HashAt { block }, "getblockhash", format!("[{height}]"), 20_000);
        }
    }

    /// What stands at the height of a block of ours.
    pub(crate) fn hash_at(&mut self, link: u16, block: Vec<u8>, outcome: &Result<Vec<u8>, CallError>) {
        let Some(ours) = self.ours.iter_mut().find(|ours| ours.block == block) else { return };
        ours.asked = false;
        match outcome {
            Ok(answer) => {
                let Some(there) = Cursor::new(answer).text().ok().and_then(hex::decode32) else { return };
                ours.asked = true;
                let seen = if block == there { Seen::Ours } else { Seen::Other };
                let params = format!("[\"{}\"]", hex::encode(&there));
                self.ask(link, Ask::Depth { block, seen }, "getblockheader", params, 20_000);
            }
            // -8: above the tip.
            Err(CallError { kind: ErrorKind::Rpc, code: -8, .. }) => ours.ahead(&mut self.actions),
            Err(_) => {}
        }
    }

    /// How deep it is.
    pub(crate) fn depth(&mut self, block: &[u8], seen: Seen, outcome: &Result<Vec<u8>, CallError>) {
        let Some(at) = self.ours.iter().position(|ours| ours.block == block) else { return };
        let Some(ours) = self.ours.get_mut(at) else { return };
        ours.asked = false;
        let Ok(answer) = outcome else { return };
        let mut confirmations = 0;
        let read = Cursor::new(answer).object(|key, value| match key {
            "confirmations" => value.int().map(|read| confirmations = read),
            _ => value.skip(),
        });
        if read.is_ok() && ours.seen(seen, confirmations, &self.profile, &mut self.actions) {
            self.ours.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> (Ours, Profile) {
        let watched = Watched { block: vec![7; 32], coord: 50, since_ms: 0, saved: Vec::new() };
        let profile = Profile {
            chain: "main".into(),
            rules: Vec::new(),
            maturity: 100,
            orphan_after: 6,
            poll_ms: 1_000,
        };
        (Ours::new(watched, vec![(10, false), (90, true)]), profile)
    }

    #[test]
    fn many_blocks_are_asked_about_in_turns() {
        let watched = |n: u8| Watched { block: vec![n; 32], coord: n.into(), since_ms: 0, saved: Vec::new() };
        let mut all: Vec<Ours> = (0..150).map(|n| Ours::new(watched(n), Vec::new())).collect();
        let mut asked = Vec::new();
        for _ in 0..3 {
            let now = next_to_ask(&mut all);
            assert!(now.len() <= AT_ONCE);
            assert!(next_to_ask(&mut all).len() + now.len() <= AT_ONCE, "the answers are awaited");
            asked.extend(now);
            all.iter_mut().for_each(|ours| ours.asked = false);
        }
        let different: std::collections::BTreeSet<_> = asked.iter().collect();
        assert_eq!(different.len(), 150, "every one has had its turn");
    }

    fn key() -> Vec<u8> {
        [[7; 32].as_slice(), &[0, 0, 0, 0]].concat()
    }

    fn income(mature: bool) -> Action {
        Action::Income(Income { key: key(), amount: 100, at: IncomeAt::Block(vec![7; 32]), mature })
    }

    fn fate(fate: Fate) -> Action {
        Action::Fate((vec![7; 32], fate))
    }

    #[test]
    fn a_block_earns_once_when_accepted_and_matures_once() {
        let (mut block, profile) = ours();
        let mut actions = Vec::new();
        for depth in [1, 1, 2] {
            assert!(!block.seen(Seen::Ours, depth, &profile, &mut actions));
        }
        assert_eq!(actions, [fate(Fate::Accepted(1)), income(false), fate(Fate::Accepted(2))]);
        actions.clear();
        assert!(block.seen(Seen::Ours, 100, &profile, &mut actions));
        assert_eq!(actions, [fate(Fate::Final), income(true)]);
    }

    #[test]
    fn only_another_block_with_enough_confirmations_makes_an_orphan_and_it_can_return() {
        let (mut block, profile) = ours();
        let mut actions = Vec::new();
        block.seen(Seen::Ours, 1, &profile, &mut actions);
        actions.clear();
        for depth in 1..6 {
            block.seen(Seen::Other, depth, &profile, &mut actions);
        }
        assert_eq!(actions, [fate(Fate::Pending(0))]);
        actions.clear();
        assert!(!block.seen(Seen::Other, 6, &profile, &mut actions));
        assert!(
            matches!(actions.as_slice(), [Action::Fate((_, Fate::Orphan(_))), Action::IncomeLost(lost)] if *lost == key())
        );
        actions.clear();
        block.seen(Seen::Ours, 8, &profile, &mut actions);
        assert_eq!(actions, [fate(Fate::Accepted(8)), income(false)]);
    }

    #[test]
    fn a_header_outside_the_best_chain_says_nothing() {
        let (mut block, profile) = ours();
        let mut actions = Vec::new();
        assert!(!block.seen(Seen::Ours, -1, &profile, &mut actions));
        assert!(!block.seen(Seen::Other, 0, &profile, &mut actions));
        assert_eq!(actions, []);
        block.ahead(&mut actions);
        assert_eq!(actions, [fate(Fate::Pending(0))]);
    }
}
