//! A block on its way: what each node said of it, which node is asked next and when, and what follows from it all. It
//! knows no threads and no clock, so that its rules can be read, and tested, alone.

use millpond_contracts::chain::Verdict;
use std::time::{Duration, Instant};

/// The pause before a block is sent again to a node that did not take it; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// The longest such pause.
const LONGEST: Duration = Duration::from_secs(30);
/// Without a word of any node for so long, nobody is known to have the block.
const SILENCE: Duration = Duration::from_secs(5);
/// A refusal stands when the nodes that have still to answer did not do so for so long: one that is down must not keep
/// a bad job in force.
const PATIENCE: Duration = Duration::from_secs(10);
/// Once a node has the block, the others are asked for so long: the network brings it to them too.
const OTHERS: Duration = Duration::from_secs(60);

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The nodes are being asked, and nothing can be said yet.
    Asking,
    /// No node has it, and it is sent again.
    Nowhere,
    /// At least one node refused it, none has it, and none that could take it is worth waiting for.
    Refused,
    /// A node keeps it beside its best chain.
    Stale,
    /// A node has it.
    Taken,
}

#[derive(Debug, Default)]
struct Node {
    under_way: bool,
    /// Times that it was asked since it went up, or since the beginning.
    tries: u32,
    due: Option<Instant>,
    said: Option<(Verdict, String)>,
}

impl Node {
    /// Whether it may still take the block.
    fn waits(&self) -> bool {
        self.said.as_ref().is_none_or(|(verdict, _)| *verdict == Verdict::Retry)
    }
}

/// One block and the nodes.
#[derive(Debug)]
pub(crate) struct Outstanding {
    since: Instant,
    refused: Option<Instant>,
    taken: Option<Instant>,
    nodes: Vec<Node>,
}

impl Outstanding {
    /// A block that was just sent to every node.
    pub(crate) fn sent(links: u16, now: Instant) -> Self {
        let nodes = (0..links).map(|_| Node { under_way: true, ..Node::default() }).collect();
        Self { since: now, refused: None, taken: None, nodes }
    }

    /// A node's answer, as the adapter reads it, or why there is none (then [`Verdict::Retry`]). Says whether it is
    /// news.
    pub(crate) fn answered(&mut self, link: u16, verdict: Verdict, words: String, now: Instant) -> bool {
        let Some(node) = self.nodes.get_mut(usize::from(link)) else { return false };
        node.under_way = false;
        node.due = (verdict == Verdict::Retry).then(|| {
            let pause = FIRST.saturating_mul(1 << node.tries.min(16)).min(LONGEST);
            node.tries = node.tries.saturating_add(1);
            now + pause
        });
        match verdict {
            Verdict::Rejected => {
                self.refused.get_or_insert(now);
            }
            Verdict::Accepted | Verdict::Duplicate => {
                self.taken.get_or_insert(now);
            }
            Verdict::Stale | Verdict::Retry => {}
        }
        let said = Some((verdict, words));
        let news = node.said != said;
        node.said = said;
        news
    }

    /// A node went up: where it has still to take the block, it is asked now, and again soon.
    pub(crate) fn up(&mut self, link: u16, now: Instant) {
        let Some(node) = self.nodes.get_mut(usize::from(link)) else { return };
        node.tries = 0;
        node.due = node.due.map(|_| now);
    }

    /// The nodes to send it to now; they count as asked.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<u16> {
        let mut links = Vec::new();
        for (link, node) in self.nodes.iter_mut().enumerate() {
            if let (Some(due), Ok(link)) = (node.due, u16::try_from(link))
                && due <= now
            {
                (node.due, node.under_way) = (None, true);
                links.push(link);
            }
        }
        links
    }

    fn says(&self, wanted: &[Verdict]) -> bool {
        let said = |node: &Node| node.said.as_ref().is_some_and(|(verdict, _)| wanted.contains(verdict));
        self.nodes.iter().any(said)
    }

    /// What is known of it.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        if self.says(&[Verdict::Accepted, Verdict::Duplicate]) {
            return Standing::Taken;
        }
        if self.says(&[Verdict::Rejected]) {
            let waited = self.refused.is_some_and(|refused| now >= refused + PATIENCE);
            let nobody_left = !self.nodes.iter().any(Node::waits);
            return if waited || nobody_left { Standing::Refused } else { Standing::Asking };
        }
        if self.says(&[Verdict::Stale]) {
            return Standing::Stale;
        }
        let all_spoke = self.nodes.iter().all(|node| node.said.is_some());
        if all_spoke || now >= self.since + SILENCE { Standing::Nowhere } else { Standing::Asking }
    }

    /// Whether nothing more is to be heard: every node judged it, or one has it and the others had their time.
    pub(crate) fn ended(&self, now: Instant) -> bool {
        !self.nodes.iter().any(Node::waits) || self.taken.is_some_and(|taken| now >= taken + OTHERS)
    }

    /// Whether a node is being asked just now.
    pub(crate) fn under_way(&self) -> bool {
        self.nodes.iter().any(|node| node.under_way)
    }

    /// When time alone may change something.
    pub(crate) fn wake(&self, now: Instant) -> Option<Instant> {
        let due = self.nodes.iter().filter_map(|node| node.due);
        let turns = [
            Some(self.since + SILENCE),
            self.refused.map(|refused| refused + PATIENCE),
            self.taken.map(|taken| taken + OTHERS),
        ];
        due.chain(turns.into_iter().flatten().filter(|turn| *turn > now)).min()
    }

    /// What each node said last, by link; those that said nothing yet are missing.
    pub(crate) fn verdicts(&self) -> Vec<(u16, Verdict, String)> {
        let said = |(link, node): (usize, &Node)| {
            let (verdict, words) = node.said.clone()?;
            Some((u16::try_from(link).ok()?, verdict, words))
        };
        self.nodes.iter().enumerate().filter_map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(block: &mut Outstanding, link: u16, verdict: Verdict, now: Instant) {
        block.answered(link, verdict, format!("{verdict:?}"), now);
    }

    #[test]
    fn a_node_that_cannot_judge_is_asked_again_with_pauses_that_grow_and_at_once_when_it_comes_up() {
        let start = Instant::now();
        let mut block = Outstanding::sent(1, start);
        assert_eq!(block.take_due(start + LONGEST), [0; 0], "it is being asked");
        let (mut now, mut pauses) = (start, Vec::new());
        for _ in 0..9 {
            say(&mut block, 0, Verdict::Retry, now);
            assert!(!block.ended(now + Duration::from_secs(86_400)));
            let due = block.nodes[0].due.unwrap();
            assert_eq!(block.take_due(due - Duration::from_millis(1)), [0; 0]);
            assert_eq!(block.take_due(due), [0]);
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        say(&mut block, 0, Verdict::Retry, now);
        block.up(0, now);
        assert_eq!(block.take_due(now), [0]);
        block.up(0, now);
        assert_eq!(block.take_due(now), [0; 0], "it is being asked already");
    }

    #[test]
    fn a_block_is_nowhere_when_every_node_failed_or_none_said_a_word() {
        let start = Instant::now();
        let mut block = Outstanding::sent(2, start);
        say(&mut block, 0, Verdict::Retry, start);
        assert_eq!(block.standing(start), Standing::Asking, "the other one may take it");
        assert_eq!(block.wake(start), Some(start + FIRST));
        assert_eq!(block.standing(start + SILENCE), Standing::Nowhere);
        say(&mut block, 1, Verdict::Retry, start);
        assert_eq!(block.standing(start), Standing::Nowhere);
        say(&mut block, 1, Verdict::Stale, start);
        assert_eq!(block.standing(start), Standing::Stale);
        say(&mut block, 0, Verdict::Duplicate, start);
        assert_eq!(block.standing(start), Standing::Taken);
        assert!(block.ended(start));
    }

    #[test]
    fn one_refusal_is_enough_where_no_other_node_can_take_the_block() {
        let start = Instant::now();
        for other in [Verdict::Rejected, Verdict::Stale] {
            let mut block = Outstanding::sent(2, start);
            say(&mut block, 0, other, start);
            say(&mut block, 1, Verdict::Rejected, start);
            assert_eq!(block.standing(start), Standing::Refused, "{other:?}");
            assert!(block.ended(start));
        }
    }

    #[test]
    fn a_node_that_is_down_puts_a_refusal_off_for_a_while_and_may_still_take_the_block() {
        let start = Instant::now();
        let mut block = Outstanding::sent(2, start);
        say(&mut block, 0, Verdict::Rejected, start);
        say(&mut block, 1, Verdict::Retry, start);
        assert_eq!(block.standing(start), Standing::Asking);
        assert_eq!(block.take_due(start + FIRST), [1]);
        assert_eq!(block.wake(start + SILENCE), Some(start + PATIENCE));
        let later = start + PATIENCE;
        assert_eq!(block.standing(later), Standing::Refused);
        assert!(!block.ended(later), "it is asked on");
        say(&mut block, 1, Verdict::Accepted, later);
        assert_eq!(block.standing(later), Standing::Taken);
    }

    #[test]
    fn once_a_node_has_the_block_the_others_are_asked_for_a_while() {
        let start = Instant::now();
        let mut block = Outstanding::sent(2, start);
        say(&mut block, 1, Verdict::Accepted, start);
        assert_eq!(block.standing(start), Standing::Taken);
        assert!(!block.ended(start) && block.under_way());
        say(&mut block, 0, Verdict::Retry, start);
        assert!(!block.ended(start));
        assert!(block.ended(start + OTHERS));
        let said = |verdict| format!("{verdict:?}");
        let verdicts =
            [(0, Verdict::Retry, said(Verdict::Retry)), (1, Verdict::Accepted, said(Verdict::Accepted))];
        assert_eq!(block.verdicts(), verdicts);
    }

    #[test]
    fn the_same_answer_again_is_no_news() {
        let now = Instant::now();
        let mut block = Outstanding::sent(1, now);
        assert!(block.answered(0, Verdict::Retry, "loading".to_owned(), now));
        assert!(!block.answered(0, Verdict::Retry, "loading".to_owned(), now));
        assert!(block.answered(0, Verdict::Retry, "no connection".to_owned(), now));
        assert!(!block.answered(7, Verdict::Accepted, String::new(), now), "there is no such node");
    }
}
