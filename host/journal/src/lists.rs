//! Lists of miners' numbers as they stood behind any share that is kept.
//!
//! The place of a record among the shares says from where on it counts, so that a decision and its replay see the same
//! list whenever they are made.

use crate::codec::{Field, Input, fields};
use crate::records::List;
use millpond_types::{MinerId, ShareSeq};
use std::collections::BTreeMap;

fields! {
    /// A list and where it begins to count.
    struct Listed {
        /// It counts for windows that end behind this share.
        from: ShareSeq,
        /// What was recorded.
        list: List,
    }
}

/// All lists that a window of the shares that are kept may need, in the order in which they were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists(Vec<Listed>);

impl Lists {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn put_in(&mut self, from: ShareSeq, list: List) {
        self.0.push(Listed { from, list });
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(crate) fn into_each(self) -> impl Iterator<Item = Listed> {
        self.0.into_iter()
    }

    pub(crate) fn push(&mut self, listed: Listed) {
        self.0.push(listed);
    }

    /// The list of this name for a window that ends at this share; empty where there was none.
    pub(crate) fn at(&self, name: &str, end: ShareSeq) -> BTreeMap<MinerId, u64> {
        let mut rows = BTreeMap::new();
        for listed in self.0.iter().filter(|listed| listed.from < end && listed.list.name == name) {
            if listed.list.whole {
                rows.clear();
            }
            rows.extend(listed.list.rows.iter().map(|row| (row.miner, row.value)));
        }
        rows
    }

    /// Forgets what no window of shares behind this one sees any more.
    pub(crate) fn forget(&mut self, dropped: ShareSeq) {
        let mut replaced: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, listed) in self.0.iter().enumerate() {
            if listed.list.whole && listed.from <= dropped {
                replaced.insert(&listed.list.name, at);
            }
        }
        let keeps: Vec<bool> = self
            .0
            .iter()
            .enumerate()
            .map(|(at, listed)| replaced.get(listed.list.name.as_str()).is_none_or(|by| at >= *by))
            .collect();
        let mut keeps = keeps.into_iter();
        self.0.retain(|_| keeps.next().unwrap_or(true));
    }
}

/// Nothing at all where there is no list, so that journals without lists keep their bytes.
impl Field for Lists {
    fn put(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            self.0.put(out);
        }
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        if from.0.is_empty() {
            return Some(Self::default());
        }
        let lists: Vec<Listed> = Field::take(from)?;
        (!lists.is_empty()).then_some(Self(lists))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Authority, ListRow};
    use millpond_types::UnixMillis;

    fn list(name: &str, whole: bool, rows: &[(u64, u64)]) -> List {
        let rows = rows.iter().map(|(miner, value)| ListRow { miner: MinerId(*miner), value: *value });
        let by = Authority::Operator("op".into());
        List { name: name.into(), whole, rows: rows.collect(), by, time: UnixMillis(1) }
    }

    fn lists() -> Lists {
        let mut lists = Lists::default();
        lists.put_in(ShareSeq(3), list("vip", true, &[(1, 10), (2, 20)]));
        lists.put_in(ShareSeq(5), list("other", true, &[(1, 99)]));
        lists.put_in(ShareSeq(7), list("vip", false, &[(2, 0), (3, 30)]));
        lists.put_in(ShareSeq(9), list("vip", true, &[(4, 40)]));
        lists
    }

    fn at(lists: &Lists, name: &str, end: u64) -> Vec<(u64, u64)> {
        lists.at(name, ShareSeq(end)).into_iter().map(|(miner, value)| (miner.0, value)).collect()
    }

    #[test]
    fn a_list_counts_behind_the_share_before_it_until_the_next_one() {
        let lists = lists();
        assert_eq!(at(&lists, "vip", 3), []);
        assert_eq!(at(&lists, "vip", 4), [(1, 10), (2, 20)]);
        assert_eq!(at(&lists, "vip", 8), [(1, 10), (2, 0), (3, 30)]);
        assert_eq!(at(&lists, "vip", 10), [(4, 40)]);
        assert_eq!(at(&lists, "other", 10), [(1, 99)]);
        assert_eq!(at(&lists, "nobody", 10), []);
    }

    #[test]
    fn forgetting_changes_no_window_of_what_is_kept() {
        for dropped in 0..12 {
            let (all, mut kept) = (lists(), lists());
            kept.forget(ShareSeq(dropped));
            for end in dropped + 1..14 {
                for name in ["vip", "other"] {
                    assert_eq!(
                        at(&kept, name, end),
                        at(&all, name, end),
                        "{name} at {end}, {dropped} dropped"
                    );
                }
            }
        }
        let mut kept = lists();
        kept.forget(ShareSeq(9));
        assert_eq!(kept.0.len(), 2, "the newest of each name");
    }

    #[test]
    fn no_list_takes_no_bytes() {
        let (mut none, mut some) = (Vec::new(), Vec::new());
        Lists::default().put(&mut none);
        assert!(none.is_empty());
        lists().put(&mut some);
        assert_eq!(Lists::take(&mut Input(&some)), Some(lists()));
        assert_eq!(Lists::take(&mut Input(&none)), Some(Lists::default()));
        // One value has one encoding: an empty list is not written.
        assert_eq!(Lists::take(&mut Input(&[0])), None);
    }
}
