//! Vote policies of 0.1.

use super::fresh::{Fresh, instantiate};
use super::{settings_size, settings_to, signatures, size};
use crate::vote::{Ballot, Meaning, Pick, Status, TopicKind, User, VotePolicy};
use crate::vote_check::checked;
use crate::{CallError, Outcome, Settings};
use millpond_runtime::{CallSize, Guest, LogSink, Plugin};
use millpond_types::Digest;
use std::sync::Arc;

#[allow(
    missing_docs,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
pub(super) mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit/vote-0.1", world: "vote-policy" });
}

use bindings::millpond::vote::types as wit;
use bindings::{VotePolicy as Bindings, VotePolicyPre};

instantiate!(VotePolicyPre<Guest>, Bindings);

/// A vote policy's component.
pub(crate) struct VoteComponent(Fresh<VotePolicyPre<Guest>>);

impl VoteComponent {
    /// Binds a loaded component; an error says which export has another type than the contract's.
    pub(crate) fn bind(plugin: &Plugin, sink: &Arc<dyn LogSink>) -> wasmtime::Result<Self> {
        Ok(Self(Fresh::bind(plugin, sink, VotePolicyPre::new, signatures::policy)?))
    }
}

impl VotePolicy for VoteComponent {
    fn digest(&self) -> Digest {
        self.0.plugin.digest()
    }

    fn schema(&self) -> Outcome<String> {
        self.0.run("policy.schema", CallSize::default(), |bindings, store| {
            bindings.millpond_vote_policy().call_schema(store).map(Ok)
        })
    }

    fn decide(&self, settings: &Settings, ballot: &Ballot, user: &User) -> Outcome<Vec<Pick>> {
        let rows = user.tickets.len() + ballot.topics.len() + ballot.delegates.len();
        let bytes = settings_size(settings) + user.tickets.iter().map(Vec::len).sum::<usize>();
        let size = size(bytes, rows);
        let settings = settings_to!(wit, settings);
        let (given_ballot, given_user) = (ballot.into(), user.into());
        let done = self.0.run("policy.decide", size, |bindings, store| {
            bindings.millpond_vote_policy().call_decide(store, &settings, &given_ballot, &given_user)
        })?;
        let picks = done.value.iter().map(Pick::from).collect();
        let (fuel_limit, fuel_used) = (done.fuel_limit, done.fuel_used);
        match checked(ballot, user, picks) {
            Ok(value) => Ok(crate::Done { value, fuel_limit, fuel_used }),
            Err(message) => Err(CallError::Host { function: "policy.decide".to_owned(), message }),
        }
    }
}

impl From<&wit::Pick> for Pick {
    fn from(pick: &wit::Pick) -> Self {
        let wit::Pick { topic, ticket, choice, reason } = pick.clone();
        Self { topic, ticket, choice, reason }
    }
}

impl From<&User> for wit::User {
    fn from(user: &User) -> Self {
        let explicit = user.explicit.iter();
        let explicit =
            explicit.map(|e| wit::Explicit { topic: e.topic, ticket: e.ticket, choice: e.choice }).collect();
        Self { tickets: user.tickets.clone(), explicit, delegate: user.delegate }
    }
}

impl From<&Ballot> for wit::Ballot {
    fn from(ballot: &Ballot) -> Self {
        let topics = ballot.topics.iter().map(|topic| wit::Topic {
            kind: match topic.kind {
                TopicKind::Agenda => wit::Kind::Agenda,
                TopicKind::TreasuryKey => wit::Kind::TreasuryKey,
                TopicKind::TreasurySpend => wit::Kind::TreasurySpend,
            },
            id: topic.id.clone(),
            version: topic.version,
            status: match topic.status {
                Status::Upcoming => wit::Status::Upcoming,
                Status::Started => wit::Status::Started,
                Status::LockedIn => wit::Status::LockedIn,
                Status::Active => wit::Status::Active,
                Status::Failed => wit::Status::Failed,
            },
            about: topic.about.clone(),
            options: topic
                .options
                .iter()
                .map(|option| wit::OptionOf {
                    id: option.id.clone(),
                    meaning: match option.meaning {
                        Meaning::Abstain => wit::Meaning::Abstain,
                        Meaning::No => wit::Meaning::No,
                        Meaning::Yes => wit::Meaning::Yes,
                        Meaning::Other => wit::Meaning::Other,
                    },
                    tickets: option.tickets,
                })
                .collect(),
            pool_default: topic.pool_default,
        });
        let delegates = ballot.delegates.iter();
        let delegates =
            delegates.map(|d| wit::Delegate { name: d.name.clone(), picks: d.picks.clone() }).collect();
        Self { height: ballot.height, topics: topics.collect(), delegates, eligible: ballot.eligible }
    }
}
