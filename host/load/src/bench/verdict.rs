//! Whether what came back is what had to come back. A pool that refuses what counts, or hangs up, answers quickly too.

use super::{Figures, OWN};
use crate::report::{Jobs, Shares, Storm};

/// What is off, in words; empty when the figures may be shown.
pub(super) fn off(figures: &Figures) -> Vec<String> {
    let mut off = Vec::new();
    let own = figures.server == OWN;
    for way in &figures.paths {
        let pipeline = way.shares.pipeline.unwrap_or(1);
        let who = if way.server == "echo" { "the echo loop" } else { &figures.server };
        let what = format!(
            "{} path of {who}, {} connections, {pipeline} a write",
            way.shares.path, way.shares.wanted
        );
        shares(&what, &way.shares, own || way.server == "echo", &mut off);
    }
    for point in &figures.curve {
        shares(&format!("a commit interval of {} ms", point.interval_ms), &point.shares, own, &mut off);
    }
    for room in &figures.memory {
        storm(&format!("{} connections of the memory table", room.kind), &room.login, &mut off);
        if let Some(mined) = &room.mined {
            shares(&format!("mining on {} connections", room.kind), &mined.shares, own, &mut off);
        }
    }
    for (number, one) in figures.logins.iter().enumerate() {
        storm(&format!("storm {} of logins", number + 1), one, &mut off);
    }
    for jobs in &figures.jobs {
        blocks(jobs, &mut off);
    }
    off
}

/// All that were wanted sent, all that was sent was answered, and by what it deserves: counted, or refused as below its
/// target, which has the code 23. Other servers have codes of their own, but one reason for all.
fn shares(what: &str, shares: &Shares, own: bool, off: &mut Vec<String>) {
    let Shares { wanted, connections, sent, accepted, rejected, unanswered, closed, .. } = shares;
    let mut say = |wrong: String| off.push(format!("{what}: {wrong}"));
    if *connections != *wanted as u64 {
        say(format!("{connections} of {wanted} connections were there"));
    }
    if *unanswered > 0 || *closed > 0 {
        say(format!("of {sent} shares {unanswered} were not answered, {closed} connections were closed"));
    }
    if *sent == 0 || shares.answered == 0 {
        say("no share was answered in the time that was measured".to_owned());
    }
    if shares.path == "accept" {
        if accepted != sent {
            say(format!("{accepted} of {sent} shares were accepted; refused: {rejected:?}"));
        }
        return;
    }
    let right = if own {
        rejected.keys().all(|why| why.starts_with("23 "))
    } else {
        // What stands in a text may differ from share to share, its code does not.
        let code = |why: &String| why.split(' ').next().unwrap_or_default().to_owned();
        let mut codes = rejected.keys().map(code);
        let first = codes.next();
        codes.all(|code| Some(code) == first)
    };
    if *accepted > 0 || shares.refused() != *sent || !right {
        say(format!(
            "of {sent} shares that miss their target {accepted} were accepted, and refused: {rejected:?}"
        ));
    }
}

fn storm(what: &str, storm: &Storm, off: &mut Vec<String>) {
    let Storm { wanted, ready, with_job, failed, .. } = storm;
    if *ready != *wanted as u64 || *with_job != *wanted as u64 || !failed.is_empty() {
        off.push(format!("{what}: {ready} of {wanted} logged in, {with_job} had a job; failed: {failed:?}"));
    }
}

fn blocks(jobs: &Jobs, off: &mut Vec<String>) {
    let Jobs { wanted, connections, blocks, .. } = jobs;
    if *connections != *wanted as u64 {
        off.push(format!("new blocks: {connections} of {wanted} connections were there"));
    }
    for (number, block) in blocks.iter().enumerate() {
        if block.told != *connections {
            let told = block.told;
            off.push(format!("new blocks: {told} of {connections} miners were told of block {}", number + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Spread;
    use std::collections::BTreeMap;

    fn judged(shares_of: Shares, own: bool) -> Vec<String> {
        let mut off = Vec::new();
        shares("here", &shares_of, own, &mut off);
        off
    }

    fn accept() -> Shares {
        let (path, wanted, connections) = ("accept".to_owned(), 3, 3);
        Shares { path, wanted, connections, sent: 9, accepted: 9, answered: 7, ..Shares::default() }
    }

    fn reject(reasons: &[(&str, u64)]) -> Shares {
        let rejected: BTreeMap<_, _> =
            reasons.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect();
        Shares { path: "reject".to_owned(), accepted: 0, rejected, ..accept() }
    }

    #[test]
    fn what_came_as_it_has_to_is_not_off() {
        assert!(judged(accept(), true).is_empty());
        assert!(judged(reject(&[("23 low difficulty", 4), ("23 low", 5)]), true).is_empty());
        assert!(judged(reject(&[("99 above target", 9)]), false).is_empty());
    }

    #[test]
    fn a_rate_of_other_answers_than_the_expected_ones_is_told_with_its_counts() {
        let refused =
            Shares { accepted: 8, rejected: BTreeMap::from([("21 stale".to_owned(), 1)]), ..accept() };
        let said = judged(refused, true);
        assert!(said.len() == 1 && said[0].contains("8 of 9") && said[0].contains("21 stale"), "{said:?}");
        for wrong in [
            Shares { accepted: 8, unanswered: 1, ..accept() },
            Shares { closed: 1, ..accept() },
            Shares { connections: 2, ..accept() },
            Shares { answered: 0, ..accept() },
            reject(&[("23 low difficulty", 8), ("22 duplicate", 1)]),
            reject(&[("23 low difficulty", 8)]),
            Shares { accepted: 1, ..reject(&[("23 low difficulty", 8)]) },
        ] {
            assert!(!judged(wrong.clone(), true).is_empty(), "{wrong:?}");
        }
        assert!(!judged(reject(&[("23 low difficulty", 8), ("22 duplicate", 1)]), false).is_empty());
        assert!(!judged(reject(&[("99 above target", 9)]), true).is_empty());
    }

    #[test]
    fn a_miner_who_was_not_there_or_not_told_is_off() {
        let mut off = Vec::new();
        let all = Storm { wanted: 5, ready: 5, with_job: 5, ..Storm::default() };
        storm("all", &all, &mut off);
        let told = |told| Spread { told, ..Spread::default() };
        let jobs = |blocks| Jobs { wanted: 5, connections: 5, blocks, ..Jobs::default() };
        blocks(&jobs(vec![told(5), told(5)]), &mut off);
        assert!(off.is_empty(), "{off:?}");
        storm("four", &Storm { ready: 4, ..all.clone() }, &mut off);
        storm("no job", &Storm { with_job: 4, ..all.clone() }, &mut off);
        storm("again", &Storm { failed: BTreeMap::from([("in time".to_owned(), 1)]), ..all }, &mut off);
        blocks(&jobs(vec![told(5), told(4)]), &mut off);
        blocks(&Jobs { wanted: 6, ..jobs(vec![told(5)]) }, &mut off);
        assert_eq!(off.len(), 5, "{off:?}");
        assert!(off[3].contains("4 of 5 miners were told of block 2"), "{off:?}");
    }
}
