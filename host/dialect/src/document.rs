//! A compiled dialect document: handlers, pushes, envelopes. Only the parser makes one; nothing here reads text.

use crate::difficulty::Rounding;
use crate::errors::{DocumentError, DocumentErrors};
use crate::fields::{FieldRule, Wire};
use crate::intent::{Failure, Push, SessionView};
use crate::json::Json;
use crate::parse;
use crate::quick::Quick;
use crate::select::glob;
use crate::template::{HOST_VALUES, Template};
use millpond_types::{Target, TargetError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A document is at most this long.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// A compiled dialect. Immutable; shared between all connections that speak it.
#[derive(Debug)]
pub struct Dialect {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) agents: Vec<String>,
    pub(crate) diff1: Option<Target>,
    pub(crate) rounding: Rounding,
    pub(crate) keepalive: Option<u32>,
    pub(crate) extranonce_rest: Option<RangeInclusive<usize>>,
    pub(crate) strip_nul: bool,
    pub(crate) envelope_ok: Template,
    pub(crate) envelope_error: Template,
    pub(crate) failure: Template,
    pub(crate) codes: BTreeMap<Failure, (i64, String)>,
    pub(crate) handlers: HashMap<String, Vec<Arc<Handler>>>,
    /// Submits that are read without building the message.
    pub(crate) quick: Vec<Quick>,
    pub(crate) pushes: BTreeMap<Push, PushRule>,
}

/// Where a document came from, to point at a place in it after compilation.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn error(&self, at: usize, message: String) -> DocumentError {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        DocumentError { name: self.name.clone(), line: small(line), column: small(column), message }
    }
}

/// What a push looks like and when it may be sent.
#[derive(Debug)]
pub(crate) struct PushRule {
    pub(crate) needs: Vec<Need>,
    /// One line each.
    pub(crate) lines: Vec<Template>,
    pub(crate) then: Vec<Push>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    Subscribed,
    Authorized,
    ExtranonceUpdates,
    Negotiated(String),
}

/// One `on` statement.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) verb: Verb,
    pub(crate) options: Vec<OptionRule>,
    pub(crate) with_job: bool,
    pub(crate) reply: Reply,
    pub(crate) then: Vec<Push>,
}

impl Handler {
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.reply, Reply::Silent)
    }
}

#[derive(Debug)]
pub(crate) enum Reply {
    Result(Template),
    /// The members of an object: one part per option that was asked for.
    Options,
    Refuse(Failure, Option<String>),
    Silent,
}

#[derive(Debug)]
pub(crate) enum Verb {
    Static,
    Ignore,
    Hello { agent: Option<Place>, resume: Option<Place> },
    Login { user: Place, password: Option<Place>, agent: Option<Place> },
    Submit(SubmitRule),
    Options(Place),
    Ask(Ask),
    GetJob,
}

/// A session feature, asked for alone or as an option.
#[derive(Debug)]
pub(crate) enum Ask {
    Negotiate(FieldRule),
    ExtranonceUpdates,
    SuggestDifficulty(Place),
    SuggestTarget(FieldRule),
    /// Nothing beyond the answer.
    Nothing,
}

impl Ask {
    pub(crate) fn is_difficulty(&self) -> bool {
        matches!(self, Self::SuggestDifficulty(_) | Self::SuggestTarget(_))
    }
}

#[derive(Debug)]
pub(crate) struct OptionRule {
    /// `*` for every option without a rule of its own.
    pub(crate) name: String,
    pub(crate) ask: Ask,
    /// Templates of members, without the braces.
    pub(crate) grants: Template,
    pub(crate) denies: Template,
}

#[derive(Debug)]
pub(crate) struct SubmitRule {
    pub(crate) worker: Option<Place>,
    pub(crate) job: JobRule,
    pub(crate) fields: Vec<FieldRule>,
}

#[derive(Debug)]
pub(crate) enum JobRule {
    Id(Place),
    Register(FieldRule),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Condition {
    Present(Place),
    Absent(Place),
    Kind(Place, &'static str),
    Agent(String),
    Needs(Need),
}

/// Where in a message a parameter stands: the first of these pointers that leads to something other than null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) written: String,
    pub(crate) pointers: Vec<Vec<String>>,
}

impl Place {
    /// Null counts as absent: firmware sends both.
    pub(crate) fn find<'j, 'a>(&self, message: &'j Json<'a>) -> Option<&'j Json<'a>> {
        self.pointers.iter().find_map(|steps| {
            let found = steps.iter().try_fold(message, |at, step| at.child(step))?;
            (*found != Json::Null).then_some(found)
        })
    }
}

impl Need {
    pub(crate) fn met(&self, session: &dyn SessionView) -> bool {
        match self {
            Self::Subscribed => session.subscribed(),
            Self::Authorized => session.authorized(),
            Self::ExtranonceUpdates => session.extranonce_updates(),
            Self::Negotiated(field) => {
                session.negotiated(field).is_some_and(|value| value.iter().any(|byte| *byte != 0))
            }
        }
    }
}

impl Dialect {
    /// Whether a share may name its job by the value of a register: who answers such shares has to remember which jobs it
    /// sent.
    #[must_use]
    pub fn names_jobs_by_register(&self) -> bool {
        self.all_handlers().any(|handler| {
            matches!(&handler.verb, Verb::Submit(SubmitRule { job: JobRule::Register(_), .. }))
        })
    }

    /// Compiles a document. `name` is shown in errors, usually the file's.
    ///
    /// # Errors
    /// All errors of the document at once, each with line and column.
    pub fn compile(name: &str, text: &str) -> Result<Arc<Self>, DocumentErrors> {
        parse::document(name, text).map(Arc::new)
    }

    /// The dialect's own name, from its first line.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the document claims this user agent (`match agent`). A document without such a line claims none
    /// and serves as a default.
    #[must_use]
    pub fn matches_agent(&self, agent: &str) -> bool {
        self.agents.iter().any(|pattern| glob(pattern, agent))
    }

    /// How long a miner of this kind may be left without a job, in seconds, when the document says so.
    #[must_use]
    pub fn keepalive_seconds(&self) -> Option<u32> {
        self.keepalive
    }

    /// How many bytes of the extranonce this firmware can roll, when the document says so: the prefix has to leave
    /// a number in this range.
    #[must_use]
    pub fn extranonce_rest(&self) -> Option<RangeInclusive<usize>> {
        self.extranonce_rest.clone()
    }

    /// The target of difficulty 1: the document's, or else the chain's.
    #[must_use]
    pub fn diff1(&self, chain: Target) -> Target {
        self.diff1.unwrap_or(chain)
    }

    /// How difficulties are rounded.
    #[must_use]
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// The wanted difficulty (in this dialect's scale) rounded as the document says, and the target to judge by.
    ///
    /// # Errors
    /// When the difficulty is not a positive finite number.
    pub fn share_target(&self, wanted: f64, chain_diff1: Target) -> Result<(f64, Target), TargetError> {
        let difficulty = self.rounding.apply(wanted);
        Ok((difficulty, Target::from_difficulty(difficulty, self.diff1(chain_diff1))?))
    }

    /// Whether the document has such a push at all.
    #[must_use]
    pub fn has_push(&self, push: Push) -> bool {
        self.pushes.contains_key(&push)
    }

    /// Whether a push may be sent to this session now: the document has it and its needs are met.
    #[must_use]
    pub fn may_push(&self, push: Push, session: &dyn SessionView) -> bool {
        self.pushes.get(&push).is_some_and(|rule| rule.needs.iter().all(|need| need.met(session)))
    }

    /// The pushes that the document wants after the (positive) reply to this call, in order, without those whose
    /// needs are not met yet. Ask after the session has changed by the call.
    #[must_use]
    pub fn pushes_after(&self, call: &crate::Call, session: &dyn SessionView) -> Vec<Push> {
        let then = call.handler.as_ref().map_or(&[][..], |handler| &handler.then);
        then.iter().copied().filter(|push| self.may_push(*push, session)).collect()
    }

    /// The pushes that the document wants right after a push, in order, without those whose needs are not met. That
    /// a fresh job follows a new target needs no mention in a document: every server of this protocol does so.
    #[must_use]
    pub fn pushes_after_push(&self, push: Push, session: &dyn SessionView) -> Vec<Push> {
        let then = self.pushes.get(&push).map_or(&[][..], |rule| &rule.then);
        then.iter().copied().filter(|push| self.may_push(*push, session)).collect()
    }

    /// Names of the share fields that a submit can carry, `xn` included; sorted.
    #[must_use]
    pub fn share_fields(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.field_rules().map(|rule| &*rule.name).collect();
        names.into_iter().collect()
    }

    /// Checks the names of a document against a recipe: `register` knows the job- and session-stage registers,
    /// `field` the share fields, `session` the session constants that may be negotiated.
    ///
    /// # Errors
    /// Every name that neither the recipe nor the host knows, with its place in the document.
    pub fn check_against(
        &self,
        register: &dyn Fn(&str) -> bool,
        field: &dyn Fn(&str) -> bool,
        session: &dyn Fn(&str) -> bool,
    ) -> Result<(), DocumentErrors> {
        let mut errors = Vec::new();
        let host = |name: &str| HOST_VALUES.iter().any(|(known, _)| *known == name);
        let templates = self
            .pushes
            .values()
            .flat_map(|rule| &rule.lines)
            .chain(self.all_handlers().flat_map(|handler| handler.templates()));
        for hole in templates.flat_map(Template::holes) {
            if !host(&hole.name) && !register(&hole.name) {
                let message = format!("the recipe has no job- or session-stage register `{}`", hole.name);
                errors.push(self.source.error(hole.at, message));
            }
        }
        for rule in self.field_rules() {
            if !field(&rule.name) {
                let message = format!("the recipe has no share field `{}`", rule.name);
                errors.push(self.source.error(rule.at, message));
            }
        }
        for handler in self.all_handlers() {
            if let Verb::Submit(SubmitRule { job: JobRule::Register(rule), .. }) = &handler.verb
                && !register(&rule.name)
            {
                let message = format!("the recipe has no job- or session-stage register `{}`", rule.name);
                errors.push(self.source.error(rule.at, message));
            }
            for rule in handler.negotiated() {
                if !session(&rule.name) {
                    let message = format!("the recipe has no session constant `{}` to negotiate", rule.name);
                    errors.push(self.source.error(rule.at, message));
                }
            }
        }
        errors.sort();
        errors.dedup();
        if errors.is_empty() { Ok(()) } else { Err(DocumentErrors(errors)) }
    }

    pub(crate) fn all_handlers(&self) -> impl Iterator<Item = &Handler> {
        self.handlers.values().flatten().map(Arc::as_ref)
    }

    fn field_rules(&self) -> impl Iterator<Item = &FieldRule> {
        self.all_handlers().flat_map(|handler| match &handler.verb {
            Verb::Submit(rule) => rule.fields.as_slice(),
            _ => &[],
        })
    }
}

impl Handler {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let reply = match &self.reply {
            Reply::Result(template) => Some(template),
            _ => None,
        };
        reply.into_iter().chain(self.options.iter().flat_map(|option| [&option.grants, &option.denies]))
    }

    pub(crate) fn negotiated(&self) -> impl Iterator<Item = &FieldRule> {
        let own = match &self.verb {
            Verb::Ask(ask) => Some(ask),
            _ => None,
        };
        own.into_iter().chain(self.options.iter().map(|option| &option.ask)).filter_map(|ask| match ask {
            Ask::Negotiate(rule) => Some(rule),
            _ => None,
        })
    }
}

impl FieldRule {
    /// A 32-byte target in hex, as `suggest target` takes it.
    pub(crate) fn is_target(&self) -> bool {
        matches!(self.wire, Wire::Hex | Wire::Hex0x | Wire::HexAny) && self.length == Some(32)
    }
}
