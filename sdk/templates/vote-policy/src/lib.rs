//! A vote policy: `yes` to every agenda, where the user has not chosen himself.

use millpond_sdk::vote::{Ballot, Kind, Meaning, Pick, Settings, User, VotePolicy};

/// The policy.
pub struct Plugin;

impl VotePolicy for Plugin {
    fn schema() -> String {
        millpond_sdk::NO_SETTINGS.to_owned()
    }

    fn decide(_: Settings, ballot: Ballot, user: User) -> Result<Vec<Pick>, String> {
        let mut picks = Vec::new();
        for (topic, on) in (0u16..).zip(&ballot.topics) {
            if on.kind != Kind::Agenda {
                continue;
            }
            let yes = (0u16..).zip(&on.options).find(|(_, option)| option.meaning == Meaning::Yes);
            let Some((choice, _)) = yes else { continue };
            picks.extend(open_tickets(&user, topic).into_iter().map(|ticket| Pick {
                topic,
                ticket,
                choice,
                reason: "yes to agendas".into(),
            }));
        }
        Ok(picks)
    }
}
millpond_sdk::export_vote_policy!(Plugin);

/// What the user left open on a topic: all tickets at once (`None`), some, or none. What he chose stands: the host refuses
/// a pick against it.
fn open_tickets(user: &User, topic: u16) -> Vec<Option<u16>> {
    let chosen: Vec<Option<u16>> =
        user.explicit.iter().filter(|choice| choice.topic == topic).map(|choice| choice.ticket).collect();
    if chosen.is_empty() {
        return vec![None];
    }
    if chosen.contains(&None) {
        return Vec::new();
    }
    let all = (0u16..).zip(&user.tickets).map(|(ticket, _)| Some(ticket));
    all.filter(|ticket| !chosen.contains(ticket)).collect()
}

#[cfg(test)]
mod tests {
    use super::Plugin;
    use millpond_sdk::vote::{Ballot, Kind, Meaning, OptionOf, Status, Topic, User, VotePolicy};

    #[test]
    fn an_agenda_gets_a_yes() {
        let option = |id: &str, meaning| OptionOf { id: id.into(), meaning, tickets: 0 };
        let topic = Topic {
            kind: Kind::Agenda,
            id: "x".into(),
            version: 1,
            status: Status::Started,
            about: Vec::new(),
            options: vec![
                option("abstain", Meaning::Abstain),
                option("no", Meaning::No),
                option("yes", Meaning::Yes),
            ],
            pool_default: None,
        };
        let ballot = Ballot { height: 1, topics: vec![topic], delegates: Vec::new(), eligible: 1 };
        let user = User { tickets: vec![vec![1; 32]], explicit: Vec::new(), delegate: None };
        let picks = Plugin::decide(Vec::new(), ballot, user).unwrap();
        assert_eq!(picks.iter().map(|pick| (pick.topic, pick.choice)).collect::<Vec<_>>(), [(0, 2)]);
    }
}
