//! Chain adapters: recorded traffic is replayed, and nodes that answer as recorded are put before the adapter again,
//! with restarts and with lies.
//!
//! A [`Recording`] holds every event that an adapter was given and what it did. [`replay`] compares action by action.
//! [`test`] also runs the adapter at nodes made from the recording (`world`): those answer any instance of the adapter
//! with what the real ones said at that time, so that an instance can be killed at any event and a node can lie.
//!
//! A recording of real nodes holds what they were asked, when they were asked it; what they would have said a moment
//! later it does not know. One that a [`script`] made in virtual time holds everything, and is judged exactly: an
//! instance killed at whichever event leads to the same work and the same incomes.

mod assembled;
mod facts;
mod lie;
pub mod live;
mod recording;
pub mod script;
mod world;

pub use assembled::{Candidate, session_values};
pub use recording::{Recording, RecordingError, Writer};

use crate::{Options, Report, Status};
use assembled::assembled_as_hashed;
use facts::Facts;
use lie::Lie;
use millpond_algorithms::Algorithms;
use millpond_chain::{Grant, Version};
use millpond_contracts::CallError;
use millpond_contracts::chain::{Action, AdapterActor, ChainAdapter, Happening};
use std::sync::Arc;
use world::World;

/// Restarts tried; a longer recording is sampled evenly.
const RESTARTS: usize = 150;

/// What an operator would grant: everything the adapter asks for. What can never be granted is refused all the same.
#[must_use]
pub fn grants(adapter: &dyn ChainAdapter) -> Vec<Grant> {
    let of = |transport: &millpond_contracts::chain::Transport| Grant {
        transport: transport.name.clone(),
        methods: transport.methods.clone(),
    };
    adapter.description().transports.iter().map(of).collect()
}

/// Holds an adapter to its contract; most of it needs a recording.
#[must_use]
pub fn test(adapter: &Arc<dyn ChainAdapter>, recording: Option<&Recording>, options: Options) -> Report {
    let mut report = Report::new(adapter.digest(), options);
    let native = Algorithms::native();
    let version = Version::prepare(adapter.clone(), 1, &native, &grants(adapter.as_ref()));
    let described = version.as_ref().map(|version| {
        format!(
            "network {}, {} recipes, {} dialects",
            adapter.description().network,
            version.recipes.len(),
            version.dialects.len()
        )
    });
    let described = described.map_err(ToString::to_string);
    report.add("described", "its documents compile, and what it asks for can be granted", described);
    let again = adapter.start_actor().map(|_| "a second instance describes itself alike".to_owned());
    report.add(
        "instances",
        "every instance describes itself alike",
        again.map_err(|error| error.to_string()),
    );
    let (Ok(version), Some(recording)) = (version, recording) else {
        let why = "it needs recorded traffic: `millpond plugin run FILE --node URL --record FILE`, then --recording";
        for (property, says) in RECORDED {
            report.note(property, says, Status::NotRun(why.to_owned()));
        }
        return report;
    };

    let [replayed, jobs, restarted, lies, mutated, reorganised] = RECORDED;
    let exact = replay(adapter.as_ref(), recording).map(|events| format!("{events} events"));
    report.add(replayed.0, replayed.1, exact);
    let world = World::of(recording);
    let straight = match world.run(adapter.as_ref(), None, None) {
        Ok(straight) => straight,
        Err(why) => {
            report.add(restarted.0, restarted.1, Err(why));
            return report;
        }
    };
    report.add(jobs.0, jobs.1, assembled_as_hashed(&version, &straight.jobs));
    report.add(restarted.0, restarted.1, restarts(adapter.as_ref(), &world, &straight));
    report.add(lies.0, lies.1, believed(adapter.as_ref(), &world, &straight, &Lie::PLAIN));
    report.add(mutated.0, mutated.1, trapped(adapter.as_ref(), &world, options.seed));
    match straight.lost {
        0 => report.note(
            reorganised.0,
            reorganised.1,
            Status::NotRun("no block of ours was orphaned in the recording".to_owned()),
        ),
        lost => {
            let held = if straight.incomes.iter().any(|(_, income)| income.lost && income.mature) {
                Err("an income was lost and is mature".to_owned())
            } else {
                Ok(format!("{lost} incomes lost"))
            };
            report.add(reorganised.0, reorganised.1, held);
        }
    }
    report
}

/// Properties that need recorded traffic.
const RECORDED: [(&str, &str); 6] = [
    ("replayed", "the recorded events give exactly the recorded actions"),
    ("assembled", "a solved job assembles to the block that its recipe hashed, within its own body"),
    ("restarted", "an instance killed at any event leads to the same blocks, incomes and work"),
    ("lied-to", "garbage, cut, empty and failing answers neither trap it nor become work or money"),
    ("bent", "answers with changed bytes never trap it"),
    ("reorganised", "an income of a block that was orphaned is taken back"),
];

/// Gives the recorded events to fresh instances and compares what they do; the count of events.
///
/// # Errors
/// The first difference.
pub fn replay(adapter: &dyn ChainAdapter, recording: &Recording) -> Result<usize, String> {
    let mut actor: Option<Box<dyn AdapterActor>> = None;
    for (at, step) in recording.steps().iter().enumerate() {
        if matches!(step.event.what, Happening::Start(_)) {
            actor = Some(adapter.start_actor().map_err(|error| error.to_string())?);
        }
        let living = actor.as_mut().ok_or_else(|| format!("event {at} comes before any start"))?;
        let outcome = living.handle(&step.event).map(|done| done.value);
        if outcome.as_ref().is_err_and(CallError::is_trap) {
            actor = None;
        }
        let got = outcome.map_err(|error| error.to_string());
        match (&step.outcome, &got) {
            (Ok(recorded), Ok(actions)) if recorded == actions => {}
            (Err(_), Err(_)) => {}
            (recorded, got) => {
                return Err(format!(
                    "event {at} ({}): recorded {}, now {}",
                    world::named(&step.event.what),
                    shown(recorded),
                    shown(got)
                ));
            }
        }
    }
    Ok(recording.steps().len())
}

fn shown(outcome: &Result<Vec<Action>, String>) -> String {
    match outcome {
        Ok(actions) => {
            let text = format!("{actions:?}");
            let cut: String = text.chars().take(600).collect();
            format!("{} actions {cut}{}", actions.len(), if cut.len() < text.len() { " …" } else { "" })
        }
        Err(error) => format!("the error {error:?}"),
    }
}

fn restarts(adapter: &dyn ChainAdapter, world: &World<'_>, straight: &Facts) -> Result<String, String> {
    if straight.unanswered > 0 {
        return Err(format!(
            "{} calls of a straight run have no answer in the recording, the first is {}: record for longer",
            straight.unanswered,
            straight.first_unanswered.as_deref().unwrap_or_default()
        ));
    }
    let every = if world.is_exact() { 1 } else { straight.recorded.div_ceil(RESTARTS).max(1) };
    let (mut tried, mut undecided) = (0_usize, Vec::new());
    for at in (1..straight.recorded).step_by(every) {
        let facts = world.run(adapter, Some(at), None)?;
        let told = |why: String| format!("killed at event {at}: {why}");
        tried += 1;
        if world.is_exact() {
            if let Some(call) = &facts.first_unanswered {
                return Err(told(format!("it asks what the script's instance never did: {call}")));
            }
            facts.equals(straight).map_err(told)?;
            continue;
        }
        facts.same_work(straight).map_err(told)?;
        match facts.same_money(straight) {
            Ok(()) => {}
            // It asked at another moment than the recorded instance did, and may have got the answer of another one.
            Err(why) if facts.guessed > straight.guessed => undecided.push(told(why)),
            Err(why) => return Err(told(why)),
        }
    }
    // An adapter that forgets does so nearly always.
    if undecided.len() * 4 > tried {
        let first = undecided.first().cloned().unwrap_or_default();
        return Err(format!("{first}; so it is at {} of {tried} events", undecided.len()));
    }
    let unsure = match undecided.len() {
        0 => String::new(),
        some => format!(", {some} undecided: the recording has no answer of that moment"),
    };
    Ok(format!(
        "{tried} restarts over {} events, {} incomes{unsure}",
        straight.recorded,
        straight.incomes.len()
    ))
}

fn believed(
    adapter: &dyn ChainAdapter,
    world: &World<'_>,
    straight: &Facts,
    kinds: &[Lie],
) -> Result<String, String> {
    let mut told = 0;
    for method in world.methods() {
        for lie in kinds {
            let facts = world.run(adapter, None, Some((&method, *lie)))?;
            let lie = format!("with {} for {method}", lie.name());
            facts.nothing_new(straight).map_err(|why| format!("{lie}: {why}"))?;
            // The lies end with the middle third: nothing of them may last.
            if world.is_exact() {
                let lasting = facts.same_work(straight).and_then(|()| facts.same_money(straight));
                lasting.map_err(|why| format!("{lie}, after the lies had ended: {why}"))?;
            }
            told += 1;
        }
    }
    Ok(format!("{told} kinds of lies"))
}

fn trapped(adapter: &dyn ChainAdapter, world: &World<'_>, seed: u64) -> Result<String, String> {
    let mut told = 0;
    for method in world.methods() {
        for n in 0..8 {
            world.run(adapter, None, Some((&method, Lie::Bent(seed.wrapping_add(n)))))?;
            told += 1;
        }
    }
    Ok(format!("{told} runs"))
}
