//! Values for a dialect's holes: what is the same for all sessions of a job, and what is a session's own.

use crate::epoch::{Epoch, WireJob};
use millpond_dialect::Value;
use millpond_jobs::Job;
use millpond_recipe::{Recipe, SessionStage, Stage, Width};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A register as the dialect takes it: lists as lists, numbers as numbers, everything else as bytes.
fn register_value<'a>(recipe: &Recipe, name: &str, bytes: &'a [u8]) -> Value<'a> {
    match recipe.register(name).map(|info| info.width) {
        Some(Width::List(item)) if item > 0 => {
            Value::List(bytes.chunks(item as usize).map(Cow::Borrowed).collect())
        }
        Some(Width::Number) => {
            let number = <[u8; 8]>::try_from(bytes).map(u64::from_le_bytes);
            number.map_or(Value::bytes(bytes), Value::Number)
        }
        _ => Value::bytes(bytes),
    }
}

/// What all sessions of a job share: its job-stage registers and coordinates.
pub(crate) struct JobHoles<'a>(pub(crate) &'a Job);

impl millpond_dialect::Values for JobHoles<'_> {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        job_value(self.0, name)
    }
}

fn job_value<'a>(job: &'a Job, name: &str) -> Option<Value<'a>> {
    match name {
        "coord" => Some(Value::Number(job.coord)),
        "parent" => Some(Value::bytes(&job.parent)),
        "network" => Some(Value::Bytes(Cow::Owned(job.network_target.to_be_bytes().to_vec()))),
        _ => job.stage.register(name).map(|bytes| register_value(job.stage.recipe(), name, bytes)),
    }
}

/// What is a session's own, and the job's where one is being sent.
#[derive(Default)]
pub(crate) struct SessionHoles<'a> {
    /// The text of the session's id.
    pub(crate) session: &'a str,
    pub(crate) prefix: &'a [u8],
    pub(crate) size: usize,
    pub(crate) difficulty: f64,
    pub(crate) target: [u8; 32],
    pub(crate) negotiated: Option<&'a BTreeMap<String, Vec<u8>>>,
    pub(crate) text: Option<&'a str>,
    /// Where to reconnect to, and after how many seconds.
    pub(crate) elsewhere: Option<(&'a str, u16, u64)>,
    pub(crate) job: Option<JobInHand<'a>>,
}

/// A job on its way to a session.
#[derive(Clone, Copy)]
pub(crate) struct JobInHand<'a> {
    pub(crate) job: &'a Job,
    pub(crate) epoch: &'a Epoch,
    pub(crate) clean: bool,
    pub(crate) stage: Option<&'a SessionStage>,
}

impl millpond_dialect::Values for SessionHoles<'_> {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "session" => return Some(Value::text(self.session)),
            "xn.prefix" => return Some(Value::bytes(self.prefix)),
            "xn.rest" => return Some(number(self.size.saturating_sub(self.prefix.len()))),
            "xn.size" => return Some(number(self.size)),
            "difficulty" => return Some(Value::Float(self.difficulty)),
            "target" => return Some(Value::bytes(&self.target)),
            "text" => return self.text.map(Value::text),
            "host" => return self.elsewhere.map(|(host, _, _)| Value::text(host)),
            "port" => return self.elsewhere.map(|(_, port, _)| Value::Number(port.into())),
            "wait" => return self.elsewhere.map(|(_, _, wait)| Value::Number(wait)),
            _ => {}
        }
        if let Some(hand) = &self.job {
            match name {
                "job" => {
                    let wire = WireJob { job: hand.job.id, epoch: hand.epoch.number };
                    return Some(Value::Text(Cow::Owned(wire.text())));
                }
                "clean" => return Some(Value::Flag(hand.clean)),
                _ => {}
            }
            if let Some(stage) = hand.stage {
                let recipe = hand.job.stage.recipe();
                let of_session = recipe.register(name).is_some_and(|info| info.stage == Stage::Session);
                if let Some(bytes) = stage.register(name).filter(|_| of_session) {
                    return Some(register_value(recipe, name, bytes));
                }
            }
            if let Some(value) = job_value(hand.job, name) {
                return Some(value);
            }
        }
        self.negotiated?.get(name).map(|bytes| Value::bytes(bytes))
    }
}

fn number(size: usize) -> Value<'static> {
    Value::Number(u64::try_from(size).unwrap_or(u64::MAX))
}
