//! Statements beside each other: what no statement shows alone.

use crate::{Against, Commitment, Entry, Proven, Statement, StatementError, What, contradiction, verify};
use millpond_types::Digest;
use std::collections::BTreeMap;

/// A statement that is good alone.
struct Good<'a> {
    at: usize,
    statement: &'a Statement,
    entry: Entry,
}

impl<'a> Good<'a> {
    const fn commitment(&self) -> &'a Commitment {
        &self.statement.commitment
    }

    fn subject(&self) -> (Digest, &'a [u8]) {
        (self.commitment().pool, &self.commitment().subject)
    }

    /// Where it stands in the ledger.
    const fn order(&self) -> (u32, u64) {
        (self.entry.restarts, self.entry.ledger_seq)
    }
}

/// Verifies several statements, and those that are good against each other: whether one takes another back, and whether all
/// belong to one history.
#[must_use]
pub fn verify_all(statements: &[Statement], against: &Against<'_>) -> Vec<Result<Proven, StatementError>> {
    let mut results: Vec<_> = statements.iter().map(|statement| verify(statement, against)).collect();
    let mut good: Vec<Good<'_>> = statements
        .iter()
        .enumerate()
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .map(|((at, statement), _)| Good { at, statement, entry: statement.entry() })
        .collect();
    let mut found = Vec::new();
    two_heads(&mut good, &mut found);
    two_histories(&mut good, &mut found);
    divided_twice(&good, &mut found);
    divided_again(&good, &mut found);
    taken_back(&good, &mut found);
    for (at, error) in found {
        if let Some(result) = results.get_mut(at).filter(|result| result.is_ok()) {
            *result = Err(error);
        }
    }
    results
}

fn two_heads(good: &mut [Good<'_>], found: &mut Vec<(usize, StatementError)>) {
    good.sort_by_key(|one| (one.commitment().pool, one.statement.head.body.number));
    for (before, after) in good.iter().zip(good.iter().skip(1)) {
        if let Some(why) = contradiction(&before.statement.head.body, &after.statement.head.body) {
            found.extend([before, after].map(|one| (one.at, why.into())));
        }
    }
}

/// One place of one history holds one entry.
fn two_histories(good: &mut [Good<'_>], found: &mut Vec<(usize, StatementError)>) {
    let place = |good: &Good<'_>| {
        let statement = good.statement;
        (good.commitment().pool, statement.head.body.restarts, statement.entry.index)
    };
    good.sort_by_key(place);
    for same in good.chunk_by(|one, other| place(one) == place(other)) {
        if same.windows(2).any(|pair| matches!(pair, [one, other] if one.entry != other.entry)) {
            let error = |one: &Good<'_>| StatementError::TwoHistories { index: one.statement.entry.index };
            found.extend(same.iter().map(|one| (one.at, error(one))));
        }
    }
}

/// The newest division of a subject is the one that counts.
fn divided_again(good: &[Good<'_>], found: &mut Vec<(usize, StatementError)>) {
    let mut divisions: Vec<&Good<'_>> =
        good.iter().filter(|one| one.commitment().undoing().is_none()).collect();
    divisions.sort_by_key(|one| (one.subject(), one.commitment().division, one.order()));
    for same in divisions.chunk_by(|one, other| one.subject() == other.subject()) {
        let Some(newest) = same.last() else { continue };
        for one in same.iter().filter(|one| one.commitment().division < newest.commitment().division) {
            let subject = one.commitment().subject_text();
            let why = format!("{subject} was divided again, as division {}", newest.commitment().division);
            found.push((one.at, StatementError::Superseded { by: newest.entry.ledger_seq, why }));
        }
    }
}

/// A division that is not lost is written down once.
fn divided_twice(good: &[Good<'_>], found: &mut Vec<(usize, StatementError)>) {
    let division = |one: &&Good<'_>| (one.commitment().division, one.entry.restarts);
    let mut divisions: Vec<&Good<'_>> =
        good.iter().filter(|one| one.commitment().undoing().is_none()).collect();
    divisions.sort_by_key(|one| (one.subject(), division(one)));
    for same in
        divisions.chunk_by(|one, other| one.subject() == other.subject() && division(one) == division(other))
    {
        let Some((one, others)) = same.split_first() else { continue };
        let Some(other) = others.iter().find(|other| other.entry.commitment != one.entry.commitment) else {
            continue;
        };
        let error = StatementError::TwoDivisions {
            subject: one.commitment().subject_text(),
            division: one.commitment().division,
            first: one.entry.ledger_seq.min(other.entry.ledger_seq),
            second: one.entry.ledger_seq.max(other.entry.ledger_seq),
        };
        found.extend(same.iter().map(|one| (one.at, error.clone())));
    }
}

/// What the newest entry says that takes a commitment back or restores it.
fn taken_back(good: &[Good<'_>], found: &mut Vec<(usize, StatementError)>) {
    let mut newest = BTreeMap::new();
    let mut undoings: Vec<_> =
        good.iter().filter_map(|one| Some((one, one.commitment().undoing()?))).collect();
    undoings.sort_by_key(|(one, _)| one.order());
    for (one, undoing) in undoings {
        newest.insert((one.commitment().pool, undoing.of), (one, undoing));
    }
    for one in good {
        let Some((by, undoing)) = newest.get(&(one.commitment().pool, one.entry.commitment)) else {
            continue;
        };
        if matches!(by.commitment().what, What::Reversed(_) | What::Undone(_)) {
            let (by, why) = (by.entry.ledger_seq, undoing.reason.clone());
            found.push((one.at, StatementError::Superseded { by, why }));
        }
    }
}
