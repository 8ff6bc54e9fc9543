//! What a vote policy's picks must hold before they count.

use crate::vote::{Ballot, Pick, User};
use std::collections::HashSet;

/// Bytes of a reason; the rest is cut.
const REASON: u64 = 120;

/// The picks with their reasons cleaned and cut; or why they do not hold. A pick for all tickets does not touch those
/// with an explicit choice of their own; one against an explicit choice of the same reach is refused.
pub(crate) fn checked(ballot: &Ballot, user: &User, picks: Vec<Pick>) -> Result<Vec<Pick>, String> {
    let mut seen = HashSet::new();
    for (row, pick) in picks.iter().enumerate() {
        let topic = ballot.topics.get(usize::from(pick.topic));
        let topic = topic.ok_or_else(|| format!("pick {row} names topic {}, there is none", pick.topic))?;
        if usize::from(pick.choice) >= topic.options.len() {
            return Err(format!("pick {row} names option {} of {:?}, there is none", pick.choice, topic.id));
        }
        if let Some(ticket) = pick.ticket
            && usize::from(ticket) >= user.tickets.len()
        {
            return Err(format!("pick {row} names ticket {ticket}, the user has {}", user.tickets.len()));
        }
        if !seen.insert((pick.topic, pick.ticket)) {
            return Err(format!("pick {row} decides {:?} a second time", topic.id));
        }
        let against = user.explicit.iter().any(|explicit| {
            let covers = explicit.ticket.is_none() || explicit.ticket == pick.ticket;
            // His choice for this very ticket comes before his choice for all.
            let overruled = explicit.ticket.is_none()
                && user.explicit.iter().any(|own| {
                    own.topic == pick.topic
                        && own.ticket.is_some()
                        && own.ticket == pick.ticket
                        && own.choice == pick.choice
                });
            explicit.topic == pick.topic && covers && explicit.choice != pick.choice && !overruled
        });
        if against {
            return Err(format!("pick {row} goes against the user's own choice in {:?}", topic.id));
        }
    }
    let clean = |pick: Pick| Pick { reason: millpond_runtime::clean(&pick.reason, REASON), ..pick };
    Ok(picks.into_iter().map(clean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vote::{Choice, Explicit, Meaning, Status, Topic, TopicKind};

    fn ballot() -> Ballot {
        let option = |id: &str| Choice { id: id.into(), meaning: Meaning::Other, tickets: 0 };
        let topic = Topic {
            kind: TopicKind::Agenda,
            id: "bigger".into(),
            version: 9,
            status: Status::Started,
            about: vec![],
            options: vec![option("abstain"), option("no"), option("yes")],
            pool_default: None,
        };
        Ballot { height: 1, topics: vec![topic], delegates: vec![], eligible: 2 }
    }

    fn user(explicit: Vec<Explicit>) -> User {
        User { tickets: vec![vec![1; 32], vec![2; 32]], explicit, delegate: None }
    }

    fn pick(topic: u16, ticket: Option<u16>, choice: u16) -> Pick {
        Pick { topic, ticket, choice, reason: "because".into() }
    }

    #[test]
    fn a_pick_against_an_explicit_choice_is_refused() {
        let no = user(vec![Explicit { topic: 0, ticket: None, choice: 1 }]);
        assert!(checked(&ballot(), &no, vec![pick(0, None, 1)]).is_ok());
        let error = checked(&ballot(), &no, vec![pick(0, Some(1), 2)]).unwrap_err();
        assert_eq!(error, "pick 0 goes against the user's own choice in \"bigger\"");
    }

    #[test]
    fn a_ticket_of_its_own_choice_is_left_alone_by_a_pick_for_all() {
        let one = user(vec![Explicit { topic: 0, ticket: Some(1), choice: 1 }]);
        assert!(checked(&ballot(), &one, vec![pick(0, None, 2)]).is_ok());
        assert!(checked(&ballot(), &one, vec![pick(0, Some(1), 2)]).is_err());
    }

    #[test]
    fn picks_of_what_does_not_exist_are_refused() {
        for bad in [pick(1, None, 0), pick(0, None, 3), pick(0, Some(2), 0)] {
            assert!(checked(&ballot(), &user(vec![]), vec![bad.clone()]).is_err(), "{bad:?}");
        }
        assert!(checked(&ballot(), &user(vec![]), vec![pick(0, None, 0), pick(0, None, 1)]).is_err());
    }

    #[test]
    fn a_reason_is_cut_and_cleaned() {
        let long = Pick { reason: format!("\u{1b}{}", "x".repeat(500)), ..pick(0, None, 0) };
        let picks = checked(&ballot(), &user(vec![]), vec![long]).unwrap();
        assert!(
            picks[0].reason.starts_with("\\u{1b}xxx") && picks[0].reason.len() <= 123,
            "{}",
            picks[0].reason
        );
    }
}
