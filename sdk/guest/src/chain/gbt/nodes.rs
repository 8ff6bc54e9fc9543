//! Which node's template the miners work on: the highest, then the block already worked on, then the best paid. A node
//! that refuses the blocks of its own templates comes behind all others that have kept up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A node that is up.
#[derive(Debug, Default, Clone)]
pub struct Node {
    /// It is on our network and not syncing.
    pub fit: bool,
    /// Told the operator that it is not.
    pub blamed: bool,
    /// A plain template call is under way.
    pub asked: bool,
    /// The node told of news while that call was under way: its answer may be of before them.
    pub woken: bool,
    /// A longpoll is under way.
    pub longpolling: bool,
    /// It refused the block of a template of its own: the next is shown to it before miners see it.
    pub doubted: bool,
    /// Such a question is under way.
    pub asked_first: bool,
    /// Its newest template; none while it does not give one.
    pub tip: Option<Tip>,
    /// Templates that it failed to give, one after the other.
    pub failures: u32,
}

/// A template in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Height of the block to be found.
    pub height: u64,
    /// The block it builds on.
    pub parent: [u8; 32],
    /// Subsidy and fees.
    pub value: u64,
}

/// The nodes that are up, by link.
pub type Nodes = BTreeMap<u16, Node>;

/// The node whose template is to be worked on.
pub fn best(nodes: &Nodes, working_on: Option<[u8; 32]>) -> Option<u16> {
    let fit = || {
        let known = nodes.iter().filter(|(_, node)| node.fit);
        known.filter_map(|(link, node)| node.tip.as_ref().map(|tip| (*link, node.doubted, tip)))
    };
    let highest = fit().map(|(.., tip)| tip.height).max()?;
    // A block takes seconds to get around; a node further behind is no better than one that is doubted.
    let usable = |doubted: bool, tip: &Tip| !doubted && tip.height.saturating_add(1) >= highest;
    // At equal height the block seen first stays: a rival must become longer.
    fit()
        .max_by_key(|(link, doubted, tip)| {
            let same = Some(tip.parent) == working_on;
            (usable(*doubted, tip), tip.height, same, tip.value, Reverse(*link))
        })
        .map(|(link, ..)| link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(height: u64, parent: u8, value: u64) -> Node {
        Node { fit: true, tip: Some(Tip { height, parent: [parent; 32], value }), ..Node::default() }
    }

    #[test]
    fn height_counts_first_then_the_block_worked_on_then_fees() {
        let mut nodes = Nodes::from([(0, node(5, 1, 10)), (1, node(5, 2, 99)), (2, node(5, 1, 11))]);
        assert_eq!(best(&nodes, Some([1; 32])), Some(2));
        assert_eq!(best(&nodes, None), Some(1));
        nodes.insert(3, node(6, 3, 1));
        assert_eq!(best(&nodes, Some([1; 32])), Some(3));
        nodes.entry(3).and_modify(|node| node.fit = false);
        nodes.insert(4, node(5, 1, 11));
        assert_eq!(best(&nodes, Some([1; 32])), Some(2), "the first of equals");
        assert_eq!(best(&Nodes::new(), None), None);
    }

    #[test]
    fn a_doubted_node_waits_behind_those_that_have_kept_up() {
        let doubted = |height| Node { doubted: true, ..node(height, 1, 99) };
        let two = |other| Nodes::from([(0, doubted(6)), (1, other)]);
        assert_eq!(best(&two(node(6, 1, 1)), Some([1; 32])), Some(1));
        assert_eq!(best(&two(node(5, 2, 1)), Some([1; 32])), Some(1), "the next block is on its way to it");
        assert_eq!(best(&two(node(4, 3, 1)), Some([1; 32])), Some(0), "it stands still");
        assert_eq!(best(&two(doubted(5)), None), Some(0));
    }
}
