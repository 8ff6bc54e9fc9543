//! Follow the delegate: where the user chose nothing himself, his tickets vote as his delegate does. What the user
//! chose stands (the host refuses a pick against it), and a topic on which the delegate is silent is left out, so that
//! it falls to the pool's default.

use millpond_sdk::vote::{Ballot, Pick, Settings, Status, Topic, User, VotePolicy};

/// The policy.
pub struct FollowDelegate;

impl VotePolicy for FollowDelegate {
    fn schema() -> String {
        millpond_sdk::NO_SETTINGS.to_owned()
    }

    fn decide(_: Settings, ballot: Ballot, user: User) -> Result<Vec<Pick>, String> {
        let Some(index) = user.delegate else { return Ok(Vec::new()) };
        let delegate = ballot
            .delegates
            .get(usize::from(index))
            .ok_or_else(|| format!("the user's delegate {index} is not on the ballot"))?;
        let mut picks = Vec::new();
        for (at, topic) in (0_u16..).zip(&ballot.topics) {
            // The delegate's last word on the topic, if it names an option that exists.
            let chosen = delegate.picks.iter().rev().find(|pick| pick.0 == at).map(|pick| pick.1);
            let Some(choice) = chosen.filter(|choice| is_open(topic) && fits(topic, *choice)) else {
                continue;
            };
            let reason = reason(&delegate.name);
            picks.extend(free_tickets(&user, at).into_iter().map(|ticket| Pick {
                topic: at,
                ticket,
                choice,
                reason: reason.clone(),
            }));
        }
        Ok(picks)
    }
}
millpond_sdk::export_vote_policy!(FollowDelegate);

/// A vote can still count.
fn is_open(topic: &Topic) -> bool {
    matches!(topic.status, Status::Upcoming | Status::Started)
}

fn fits(topic: &Topic, choice: u16) -> bool {
    usize::from(choice) < topic.options.len()
}

/// What the user left open on a topic: all tickets at once (`None`), some, or none at all.
fn free_tickets(user: &User, topic: u16) -> Vec<Option<u16>> {
    let explicit: Vec<_> = user.explicit.iter().filter(|choice| choice.topic == topic).collect();
    if explicit.is_empty() {
        return vec![None];
    }
    if explicit.iter().any(|choice| choice.ticket.is_none()) {
        return Vec::new();
    }
    let chosen = |ticket: u16| explicit.iter().any(|choice| choice.ticket == Some(ticket));
    (0_u16..).zip(&user.tickets).map(|(ticket, _)| ticket).filter(|t| !chosen(*t)).map(Some).collect()
}

/// At most 120 bytes, cut at a character.
fn reason(name: &str) -> String {
    let mut text = format!("as delegate {name}");
    while text.len() > 120 {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::vote::{Delegate, Explicit, Kind, Meaning, OptionOf};

    fn ballot(picks: &[(u16, u16)]) -> Ballot {
        let option = |id: &str, meaning| OptionOf { id: id.to_owned(), meaning, tickets: 0 };
        let topic = |id: &str, status| Topic {
            kind: Kind::Agenda,
            id: id.to_owned(),
            version: 1,
            status,
            about: Vec::new(),
            options: vec![
                option("abstain", Meaning::Abstain),
                option("no", Meaning::No),
                option("yes", Meaning::Yes),
            ],
            pool_default: Some(0),
        };
        let topics =
            vec![topic("a", Status::Started), topic("b", Status::Upcoming), topic("c", Status::Active)];
        let delegates = vec![Delegate { name: "ann".to_owned(), picks: picks.to_vec() }];
        Ballot { height: 1, topics, delegates, eligible: 5 }
    }

    fn user(explicit: &[(u16, Option<u16>, u16)]) -> User {
        let explicit = explicit.iter().map(|(topic, ticket, choice)| Explicit {
            topic: *topic,
            ticket: *ticket,
            choice: *choice,
        });
        User { tickets: vec![vec![1], vec![2], vec![3]], explicit: explicit.collect(), delegate: Some(0) }
    }

    fn decide(picks: &[(u16, u16)], user: User) -> Vec<(u16, Option<u16>, u16)> {
        let picks = FollowDelegate::decide(Vec::new(), ballot(picks), user).unwrap();
        picks.into_iter().map(|pick| (pick.topic, pick.ticket, pick.choice)).collect()
    }

    #[test]
    fn tickets_vote_as_the_delegate_does_on_open_topics_only() {
        assert_eq!(decide(&[(0, 2), (1, 1), (2, 2)], user(&[])), [(0, None, 2), (1, None, 1)]);
    }

    #[test]
    fn an_explicit_choice_stands_and_one_ticket_never_affects_another() {
        assert_eq!(decide(&[(0, 2)], user(&[(0, None, 1)])), []);
        assert_eq!(decide(&[(0, 2)], user(&[(0, Some(1), 1)])), [(0, Some(0), 2), (0, Some(2), 2)]);
    }

    #[test]
    fn the_delegates_last_valid_word_counts_and_nonsense_falls_to_the_default() {
        assert_eq!(decide(&[(0, 1), (0, 2)], user(&[])), [(0, None, 2)]);
        assert_eq!(decide(&[(0, 9), (7, 1)], user(&[])), []);
    }

    #[test]
    fn without_a_delegate_everything_falls_to_the_next_level() {
        let lonely = User { delegate: None, ..user(&[]) };
        assert_eq!(decide(&[(0, 2)], lonely), []);
        let lost = User { delegate: Some(9), ..user(&[]) };
        assert!(FollowDelegate::decide(Vec::new(), ballot(&[]), lost).is_err());
    }

    #[test]
    fn a_reason_fits_its_120_bytes() {
        assert!(reason(&"ä".repeat(200)).len() <= 120);
    }
}
