//! From a line of a miner to what it means. No input makes it fail or panic: a bad line is an intent too.

use crate::document::{
    Ask, Condition, Dialect, Handler, JobRule, OptionRule, Place, Reply, SubmitRule, Verb,
};
use crate::intent::{
    Asked, Call, Decoded, Extranonce, Intent, JobRef, Request, SessionView, Submit, Suggestion,
};
use crate::json::{self, Json, MAX_LINE_BYTES};
use crate::select::glob;
use crate::small::{Fields, Name, Short};
use std::borrow::Cow;
use std::sync::Arc;

/// The longest id that is echoed, in bytes as written.
pub(crate) const MAX_ID_BYTES: usize = 128;
/// The longest worker name, password, agent or job id, in bytes. Addresses of 100 characters and more exist.
pub(crate) const MAX_TEXT_BYTES: usize = 512;
/// Where no job is named yet: the session's present extranonce counts.
pub(crate) const NO_JOB: JobRef<'static> = JobRef::Id(Cow::Borrowed(""));
/// Options of one negotiation.
const MAX_OPTIONS: usize = 16;

impl Dialect {
    /// Reads one line, with or without its line end. Never fails: what cannot be read is
    /// [`Intent::Malformed`], with the id when it could be told.
    #[must_use]
    pub fn decode<'l>(&self, line: &'l [u8], session: &dyn SessionView) -> Decoded<'l> {
        let mut decoded = Decoded::share();
        if self.quick_submit(line, session, &mut decoded).is_none() {
            decoded = self.decode_any(line, session);
        }
        decoded
    }

    /// As [`Dialect::decode`], by the reader of any message alone: what the quick reading of shares is held against.
    #[must_use]
    #[inline(never)]
    pub fn decode_any(&self, line: &[u8], session: &dyn SessionView) -> Decoded<'static> {
        let mut call = Call { id: Short::new("null"), handler: None, known: false, options: Vec::new() };
        let intent = match self.text(line) {
            Ok(None) => {
                // Some firmware sends empty lines to keep the connection.
                return Decoded { call: Call { handler: Some(silent()), ..call }, intent: Intent::Ignored };
            }
            Ok(Some(text)) => self.message(&text, session, &mut call),
            Err(why) => Err(why),
        };
        let intent = intent.unwrap_or_else(|why| Intent::Malformed { why });
        Decoded { call, intent }
    }

    fn text<'l>(&self, line: &'l [u8]) -> Result<Option<Cow<'l, str>>, String> {
        if line.len() > MAX_LINE_BYTES {
            return Err(format!("the line is longer than {MAX_LINE_BYTES} bytes"));
        }
        let line = line.trim_ascii();
        match line {
            [] => return Ok(None),
            [0x16, 0x03, ..] => return Err("a TLS handshake on a port without TLS".to_owned()),
            [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', b' ', ..] => {
                return Err("an HTTP request on a Stratum port".to_owned());
            }
            _ => {}
        }
        let line = if self.strip_nul && line.contains(&0) {
            Cow::Owned(line.iter().copied().filter(|byte| *byte != 0).collect())
        } else {
            Cow::Borrowed(line)
        };
        let bad = |at: usize| format!("byte {at} of the line is not UTF-8");
        let text = match line {
            Cow::Borrowed(line) => {
                Cow::Borrowed(std::str::from_utf8(line).map_err(|error| bad(error.valid_up_to()))?)
            }
            Cow::Owned(line) => {
                Cow::Owned(String::from_utf8(line).map_err(|error| bad(error.utf8_error().valid_up_to()))?)
            }
        };
        Ok((!text.trim().is_empty()).then_some(text))
    }

    fn message(
        &self,
        text: &str,
        session: &dyn SessionView,
        call: &mut Call,
    ) -> Result<Intent<'static>, String> {
        let mut message =
            json::parse(text).map_err(|error| format!("not JSON at byte {}: {}", error.at, error.why))?;
        let Json::Object(members) = &mut message else {
            return Err(format!("a message is a JSON object, not {}", message.kind()));
        };
        // The engine's own member, so that no miner can give it.
        members.retain(|(name, _)| name != "argument");
        call.id = id(message.child("id"))?;
        let method = match message.child("method") {
            Some(Json::String(method, _)) => method.clone().into_owned(),
            Some(other) => return Err(format!("method has to be a string, not {}", other.kind())),
            None if message.child("result").is_some() || message.child("error").is_some() => {
                // An answer to one of our own requests or pushes.
                call.handler = Some(silent());
                let text = match message.child("result") {
                    Some(Json::String(text, _)) if text.len() <= MAX_TEXT_BYTES => {
                        Some(text.chars().filter(|c| !c.is_control()).collect())
                    }
                    _ => None,
                };
                return Ok(Intent::Answer { text });
            }
            None => return Err("the message has no method".to_owned()),
        };
        let mut handlers = self.handlers.get(&method);
        if handlers.is_none()
            && let Some((name, argument)) = method.split_once('(')
        {
            handlers = self.handlers.get(name.trim());
            let argument = argument.trim_end().trim_end_matches(')').trim();
            if let Json::Object(members) = &mut message {
                let argument = argument.trim_matches('"').to_owned();
                members.push(("argument".into(), Json::String(argument.into(), "")));
            }
        }
        let Some(handlers) = handlers else {
            return Ok(Intent::Unknown { method: method.chars().take(64).collect() });
        };
        call.known = true;
        let fits = |handler: &&Arc<Handler>| {
            handler.conditions.iter().all(|condition| holds(condition, &message, session))
        };
        let Some(handler) = handlers.iter().find(fits) else {
            return Err(format!("{method} with these parameters is not known"));
        };
        call.handler = Some(Arc::clone(handler));
        run(handler, &message, session, call)
    }
}

fn silent() -> Arc<Handler> {
    Arc::new(Handler {
        conditions: Vec::new(),
        verb: Verb::Ignore,
        options: Vec::new(),
        with_job: false,
        reply: Reply::Silent,
        then: Vec::new(),
    })
}

fn id(id: Option<&Json<'_>>) -> Result<Short, String> {
    match id {
        None | Some(Json::Null) => Ok(Short::new("null")),
        Some(Json::Number(raw) | Json::String(_, raw)) if raw.len() <= MAX_ID_BYTES => Ok(Short::new(raw)),
        Some(Json::Number(_) | Json::String(..)) => {
            Err(format!("the id is longer than {MAX_ID_BYTES} bytes"))
        }
        Some(Json::Bool(flag)) => Ok(Short::new(if *flag { "true" } else { "false" })),
        Some(other) => Err(format!("an id is a number, a string or null, not {}", other.kind())),
    }
}

fn holds(condition: &Condition, message: &Json<'_>, session: &dyn SessionView) -> bool {
    match condition {
        Condition::Present(place) => place.find(message).is_some(),
        Condition::Absent(place) => place.find(message).is_none(),
        Condition::Kind(place, kind) => place.find(message).is_some_and(|found| found.kind() == *kind),
        Condition::Agent(pattern) => glob(pattern, session.agent()),
        Condition::Needs(need) => need.met(session),
    }
}

fn run(
    handler: &Handler,
    message: &Json<'_>,
    session: &dyn SessionView,
    call: &mut Call,
) -> Result<Intent<'static>, String> {
    Ok(match &handler.verb {
        Verb::Static => Intent::Static,
        Verb::Ignore => Intent::Ignored,
        Verb::GetJob => Intent::GetJob,
        Verb::Hello { agent, resume } => Intent::Hello {
            agent: optional_text("user agent", agent.as_ref(), message)?,
            // Anything but text is no session id; the hello is still good.
            resume: optional_text("session id", resume.as_ref(), message).unwrap_or(None),
        },
        Verb::Login { user, password, agent } => Intent::Login {
            user: text("user", user, message)?
                .filter(|user| !user.is_empty())
                .ok_or_else(|| format!("the user is missing at {}", user.written))?,
            password: optional_text("password", password.as_ref(), message)?,
            agent: optional_text("user agent", agent.as_ref(), message)?,
        },
        Verb::Submit(rule) => Intent::Submit(submit(rule, message, session)?),
        Verb::Options(place) => Intent::Negotiate(options(handler, place, message, session, call)?),
        Verb::Ask(ask) => match request(ask, message, session)? {
            Some(Request::ExtranonceUpdates) => Intent::ExtranonceUpdates,
            Some(Request::Least(suggestion)) => Intent::Suggest(suggestion),
            Some(field) => Intent::Negotiate(vec![field]),
            None => Intent::Static,
        },
    })
}

fn submit(
    rule: &SubmitRule,
    message: &Json<'_>,
    session: &dyn SessionView,
) -> Result<Submit<'static>, String> {
    let worker = optional_text("worker", rule.worker.as_ref(), message)?.map(Cow::Owned);
    let job = match &rule.job {
        JobRule::Id(place) => {
            let id = text("job", place, message)?;
            JobRef::Id(Cow::Owned(id.ok_or_else(|| format!("the job is missing at {}", place.written))?))
        }
        JobRule::Register(rule) => {
            let value = rule.value(message, &NO_JOB, session)?;
            let value = value.ok_or_else(|| format!("{} is missing", rule.name))?;
            JobRef::Register { name: Arc::clone(&rule.name), value }
        }
    };
    let mut fields = Fields::default();
    for field in &rule.fields {
        let start = fields.open().len();
        if field.read(field.place.find(message).map(Json::found), &job, session, fields.open())? {
            fields.close(&Name::new(&field.name), start);
        }
    }
    Ok(Submit { worker, job, fields })
}

fn options(
    handler: &Handler,
    place: &Place,
    message: &Json<'_>,
    session: &dyn SessionView,
    call: &mut Call,
) -> Result<Vec<Request>, String> {
    let names = match place.find(message) {
        Some(Json::Array(names)) => names,
        Some(other) => return Err(format!("the options have to be an array, not {}", other.kind())),
        None => return Err(format!("the options are missing at {}", place.written)),
    };
    if names.len() > MAX_OPTIONS {
        return Err(format!("more than {MAX_OPTIONS} options"));
    }
    let mut requests = Vec::new();
    for name in names {
        let Json::String(name, _) = name else {
            return Err(format!("an option has to be a string, not {}", name.kind()));
        };
        if name.len() > MAX_TEXT_BYTES || call.options.iter().any(|known| known.name == **name) {
            continue;
        }
        let named = |option: &OptionRule| option.name == *name;
        let any = |option: &OptionRule| option.name == "*";
        let rules = &handler.options;
        let Some(index) = rules.iter().position(named).or_else(|| rules.iter().position(any)) else {
            // Not in the document: silence about it is the safest answer.
            continue;
        };
        if let Some(rule) = rules.get(index) {
            let asked = request(&rule.ask, message, session);
            let possible = asked.is_ok();
            requests.extend(asked.ok().flatten());
            call.options.push(Asked { rule: index, name: name.clone().into_owned(), possible });
        }
    }
    Ok(requests)
}

fn request(ask: &Ask, message: &Json<'_>, session: &dyn SessionView) -> Result<Option<Request>, String> {
    Ok(Some(match ask {
        Ask::Nothing => return Ok(None),
        Ask::ExtranonceUpdates => Request::ExtranonceUpdates,
        Ask::Negotiate(rule) => {
            let value = rule.value(message, &NO_JOB, session)?;
            let value = value.ok_or_else(|| format!("{} is missing", rule.name))?;
            Request::Field { field: rule.name.to_string(), value }
        }
        Ask::SuggestTarget(rule) => {
            let value = rule.value(message, &NO_JOB, session)?.unwrap_or_default();
            let target = <[u8; 32]>::try_from(value.as_slice()).map_err(|_| "a target has 32 bytes")?;
            Request::Least(Suggestion::Target(target))
        }
        Ask::SuggestDifficulty(place) => {
            let written = text("difficulty", place, message)?
                .ok_or_else(|| format!("the difficulty is missing at {}", place.written))?;
            match written.trim().parse::<f64>() {
                Ok(difficulty) if difficulty.is_finite() && difficulty > 0.0 => {
                    Request::Least(Suggestion::Difficulty(difficulty))
                }
                _ => return Err("a difficulty has to be a positive number".to_owned()),
            }
        }
    }))
}

fn optional_text(what: &str, place: Option<&Place>, message: &Json<'_>) -> Result<Option<String>, String> {
    place.map_or(Ok(None), |place| text(what, place, message))
}

/// Text or a number at a place; control characters are dropped.
fn text(what: &str, place: &Place, message: &Json<'_>) -> Result<Option<String>, String> {
    let found = match place.find(message) {
        None => return Ok(None),
        Some(Json::String(text, _)) => text.as_ref(),
        Some(Json::Number(number)) => number,
        Some(other) => return Err(format!("the {what} has to be text, not {}", other.kind())),
    };
    if found.len() > MAX_TEXT_BYTES {
        return Err(format!("the {what} is longer than {MAX_TEXT_BYTES} bytes"));
    }
    Ok(Some(found.chars().filter(|c| !c.is_control()).collect()))
}

impl Extranonce<'_> {
    /// Bytes that are left to the miner.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.size.saturating_sub(self.prefix.len())
    }
}
