//! Vote policies: an explicit choice stands, one ticket never affects another, and whom the user does not follow has
//! no say.

use crate::rng::Rng;
use crate::{Options, Report, schema};
use millpond_contracts::Settings;
use millpond_contracts::vote::{
    Ballot, Choice, Delegate, Explicit, Meaning, Pick, Status, Topic, TopicKind, User, VotePolicy,
};
use std::collections::BTreeMap;

/// Tickets of the user in the large call.
const TICKETS: usize = 10_000;

/// Holds a vote policy under these settings to its contract.
#[must_use]
pub fn test(policy: &dyn VotePolicy, settings: &Settings, options: Options) -> Report {
    let mut report = Report::new(policy.digest(), options);
    let subject = Subject { policy, settings, options };
    report.add("schema", "the schema describes an object of settings", schema::check(policy.schema()));
    report.add(
        "valid",
        "picks name what exists, decide nothing twice, and never go against an explicit choice",
        subject.cases("valid", |_, _, _, _| Ok(())),
    );
    report.add(
        "deterministic",
        "equal arguments give equal picks",
        subject.cases("deterministic", |ballot, user, picks, _| match subject.ask(ballot, user)? {
            again if again == picks => Ok(()),
            again => Err(format!("{picks:?} and then {again:?}")),
        }),
    );
    report.add(
        "tickets-apart",
        "what one ticket votes does not depend on another ticket",
        subject.cases("tickets-apart", |ballot, user, picks, _| {
            let Some(fewer) = without_last_ticket(user) else { return Ok(()) };
            let other = subject.ask(ballot, &fewer)?;
            let (before, after) = (votes(user, picks), votes(&fewer, &other));
            let differs = after.iter().find(|(key, choice)| before.get(key) != Some(choice));
            differs.map_or(Ok(()), |((topic, ticket), choice)| {
                let with = before.get(&(*topic, *ticket));
                Err(format!(
                    "ticket {ticket} votes {choice:?} on topic {topic}, and {with:?} beside another ticket"
                ))
            })
        }),
    );
    report.add(
        "strangers",
        "delegates whom the user does not follow change nothing",
        subject.cases("strangers", |ballot, user, picks, _| {
            let mut other = ballot.clone();
            other.delegates.push(Delegate {
                name: "stranger".to_owned(),
                picks: (0..).zip(&ballot.topics).map(|(topic, _)| (topic, 0)).collect(),
            });
            let after = subject.ask(&other, user)?;
            if votes(user, &after) == votes(user, picks) {
                Ok(())
            } else {
                Err(format!("{picks:?}, then {after:?}"))
            }
        }),
    );
    report.add("bounded", "fuel and memory stay within the limits with very many tickets", subject.large());
    report
}

struct Subject<'a> {
    policy: &'a dyn VotePolicy,
    settings: &'a Settings,
    options: Options,
}

/// The choice of each (topic, ticket); nothing where it falls to the next level.
fn votes(user: &User, picks: &[Pick]) -> BTreeMap<(u16, u16), Option<u16>> {
    let topics: std::collections::BTreeSet<u16> = picks.iter().map(|pick| pick.topic).collect();
    let mut votes = BTreeMap::new();
    for topic in topics {
        for (ticket, _) in (0_u16..).zip(&user.tickets) {
            let of =
                |wanted: Option<u16>| picks.iter().find(|pick| pick.topic == topic && pick.ticket == wanted);
            let explicit = |wanted: Option<u16>| {
                user.explicit.iter().find(|choice| choice.topic == topic && choice.ticket == wanted)
            };
            // His own word first, then the policy's for this ticket, then its word for all.
            let own = explicit(Some(ticket)).or(explicit(None)).map(|choice| choice.choice);
            let choice = own.or(of(Some(ticket)).or(of(None)).map(|pick| pick.choice));
            votes.insert((topic, ticket), choice);
        }
    }
    votes.retain(|_, choice| choice.is_some());
    votes
}

fn without_last_ticket(user: &User) -> Option<User> {
    let mut fewer = user.clone();
    fewer.tickets.pop()?;
    let left = fewer.tickets.len();
    if left == 0 {
        return None;
    }
    fewer.explicit.retain(|choice| choice.ticket.is_none_or(|ticket| usize::from(ticket) < left));
    Some(fewer)
}

impl Subject<'_> {
    fn ask(&self, ballot: &Ballot, user: &User) -> Result<Vec<Pick>, String> {
        Ok(self.policy.decide(self.settings, ballot, user).map_err(|error| error.to_string())?.value)
    }

    fn cases(
        &self,
        name: &str,
        held: impl Fn(&Ballot, &User, &[Pick], &mut Rng) -> Result<(), String>,
    ) -> Result<String, String> {
        let mut rng = Rng::new(self.options.seed, name);
        for n in 0..self.options.cases {
            let ballot = ballot(&mut rng, u64::from(n / 20 + 1));
            let user = user(&mut rng, &ballot, u64::from(n / 20 + 2));
            let told = |why: String| format!("{why}; topics {:?}, user {user:?}", shown(&ballot));
            let picks = self.ask(&ballot, &user).map_err(told)?;
            held(&ballot, &user, &picks, &mut rng)
                .map_err(|why| format!("{why}; topics {:?}, user {user:?}", shown(&ballot)))?;
        }
        Ok(format!("{} cases", self.options.cases))
    }

    fn large(&self) -> Result<String, String> {
        let mut rng = Rng::new(self.options.seed, "bounded");
        let ballot = ballot(&mut rng, 8);
        let tickets = TICKETS.min(usize::try_from(self.options.miners).unwrap_or(TICKETS));
        let explicit = (0..tickets as u16)
            .filter(|ticket| ticket % 3 == 0)
            .map(|ticket| Explicit { topic: 0, ticket: Some(ticket), choice: 0 })
            .collect();
        let user = User { tickets: vec![vec![7; 32]; tickets], explicit, delegate: Some(0) };
        self.ask(&ballot, &user).map_err(|why| format!("with {tickets} tickets: {why}"))?;
        Ok(format!("{tickets} tickets"))
    }
}

fn shown(ballot: &Ballot) -> Vec<(&str, Status, usize)> {
    ballot.topics.iter().map(|topic| (topic.id.as_str(), topic.status, topic.options.len())).collect()
}

fn ballot(rng: &mut Rng, topics: u64) -> Ballot {
    let topic = |n: u64, rng: &mut Rng| {
        let statuses = [Status::Upcoming, Status::Started, Status::LockedIn, Status::Active, Status::Failed];
        let status = statuses.get(rng.below(9) as usize).copied().unwrap_or(Status::Started);
        let kinds = [TopicKind::Agenda, TopicKind::TreasuryKey, TopicKind::TreasurySpend];
        let meanings = [Meaning::Abstain, Meaning::No, Meaning::Yes, Meaning::Other];
        let options: Vec<Choice> = meanings
            .iter()
            .take(rng.within(2, 4) as usize)
            .map(|meaning| Choice { id: format!("{meaning:?}"), meaning: *meaning, tickets: rng.below(1000) })
            .collect();
        Topic {
            kind: kinds.get(rng.below(3) as usize).copied().unwrap_or(TopicKind::Agenda),
            id: format!("topic-{n}"),
            version: 9,
            status,
            about: Vec::new(),
            pool_default: rng.once_in(2).then_some(0),
            options,
        }
    };
    let topics: Vec<Topic> = (0..rng.within(1, topics)).map(|n| topic(n, rng)).collect();
    let delegates = (0..rng.within(1, 3))
        .map(|n| {
            let picks = (0_u16..)
                .zip(&topics)
                .filter_map(|(at, topic)| {
                    let choice = rng.below(topic.options.len() as u64) as u16;
                    (!rng.once_in(3)).then_some((at, choice))
                })
                .collect();
            Delegate { name: format!("delegate-{n}"), picks }
        })
        .collect();
    Ballot { height: 900_000, topics, delegates, eligible: 40_000 }
}

fn user(rng: &mut Rng, ballot: &Ballot, tickets: u64) -> User {
    let count = rng.within(1, tickets);
    let mut explicit = Vec::new();
    for (at, topic) in (0_u16..).zip(&ballot.topics) {
        let choice = rng.below(topic.options.len() as u64) as u16;
        match rng.below(4) {
            0 => explicit.push(Explicit { topic: at, ticket: None, choice }),
            1 => explicit.push(Explicit { topic: at, ticket: Some(rng.below(count) as u16), choice }),
            _ => {}
        }
    }
    let followed = rng.below(ballot.delegates.len() as u64) as u16;
    User {
        tickets: (0..count).map(|n| vec![n as u8; 32]).collect(),
        explicit,
        delegate: (!rng.once_in(4)).then_some(followed),
    }
}
