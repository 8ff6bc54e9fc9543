//! The `on` statement: which messages it takes, what they mean, what is answered and what follows.

use super::cursor::{Cursor, Wrong, is_name};
use super::{Draft, OF_ENVELOPES, OF_OTHERS, failure, hex_bytes, holes_outside, members, need, then};
use crate::document::{Ask, Condition, Handler, JobRule, OptionRule, Reply, SubmitRule, Verb};
use crate::fields::{FieldRule, Part, Wire};
use crate::intent::Push;
use crate::template::Template;
use millpond_types::Target;
use std::sync::Arc;

/// Clauses as they come, in any order; [`Clauses::finish`] looks at the whole.
#[derive(Default)]
struct Clauses {
    verb: Option<Verb>,
    options: Vec<OptionRule>,
    worker: Option<crate::document::Place>,
    job: Option<JobRule>,
    fields: Vec<FieldRule>,
    with_job: bool,
    reply: Option<Reply>,
    then: Vec<Push>,
}

pub(super) fn on(cursor: &mut Cursor<'_>, draft: &mut Draft, start: usize) -> Result<(), Wrong> {
    let method = cursor.word("the method")?.to_owned();
    if method.len() > 64 {
        return Err((start, "a method has at most 64 characters".to_owned()));
    }
    let mut conditions = Vec::new();
    if cursor.take("when") {
        conditions.push(condition(cursor, draft)?);
        while cursor.take("and") {
            conditions.push(condition(cursor, draft)?);
        }
    }
    let mut clauses = Clauses::default();
    let mut good = true;
    while cursor.more() {
        if let Err(wrong) = clauses.clause(cursor, draft) {
            cursor.report(wrong);
            cursor.skip_to_line_end();
            good = false;
        }
    }
    let known = draft.handlers.entry(method.clone()).or_default();
    if known.iter().any(|handler| handler.conditions.is_empty()) {
        let message = format!("an earlier `on {method}` without `when` takes every message; put it last");
        return Err((start, message));
    }
    match clauses.finish(conditions, start) {
        Ok(handler) => known.push(Arc::new(handler)),
        // What is missing may only be so because a clause could not be read.
        Err(wrong) if good => return Err(wrong),
        Err(_) => {}
    }
    Ok(())
}

fn condition(cursor: &mut Cursor<'_>, draft: &mut Draft) -> Result<Condition, Wrong> {
    if cursor.take("agent") {
        return Ok(Condition::Agent(cursor.quoted("a pattern of user agents")?));
    }
    if cursor.take("not") {
        return Ok(Condition::Absent(cursor.place("a parameter")?));
    }
    let at = cursor.at;
    match cursor.peek_word() {
        Some(word) if word.starts_with('/') => {
            let place = cursor.place("a parameter")?;
            if !cursor.take("is") {
                return Ok(Condition::Present(place));
            }
            let kind = match cursor.word("a kind")? {
                "string" => "a string",
                "number" => "a number",
                "flag" => "a flag",
                "array" => "an array",
                "object" => "an object",
                other => {
                    let message = format!("a kind is string, number, flag, array or object, not `{other}`");
                    return Err((at, message));
                }
            };
            Ok(Condition::Kind(place, kind))
        }
        Some(word) if is_name(word) => {
            cursor.at += word.len();
            Ok(Condition::Needs(need(word, at, draft)))
        }
        _ => Err((
            at,
            "a condition is /a/pointer, not /a/pointer, /a/pointer is KIND, agent \"pattern\", \
                       subscribed, authorized, extranonce-updates or a negotiated field"
                .to_owned(),
        )),
    }
}

impl Clauses {
    fn clause(&mut self, cursor: &mut Cursor<'_>, draft: &mut Draft) -> Result<(), Wrong> {
        let diff1 = draft.diff1.map(Target::to_be_bytes);
        let word = cursor.word("a clause")?;
        let at = cursor.at - word.len();
        match word {
            "hello" => {
                let (mut agent, mut resume) = (None, None);
                loop {
                    if cursor.take("agent") {
                        agent = Some(cursor.place("the user agent")?);
                    } else if cursor.take("resume") {
                        resume = Some(cursor.place("the session id")?);
                    } else {
                        return self.verb(Verb::Hello { agent, resume }, at);
                    }
                }
            }
            "login" => {
                if !cursor.take("user") {
                    return Err((cursor.at, "`login` needs `user /a/pointer`".to_owned()));
                }
                let user = cursor.place("the user")?;
                let (mut password, mut agent) = (None, None);
                loop {
                    if cursor.take("password") {
                        password = Some(cursor.place("the password")?);
                    } else if cursor.take("agent") {
                        agent = Some(cursor.place("the user agent")?);
                    } else {
                        return self.verb(Verb::Login { user, password, agent }, at);
                    }
                }
            }
            "submit" => {
                // Its parts come as clauses of their own; `finish` puts them in.
                let empty = SubmitRule { worker: None, job: JobRule::Id(no_place()), fields: Vec::new() };
                self.verb(Verb::Submit(empty), at)
            }
            "worker" => {
                self.worker = Some(cursor.place("the worker")?);
                Ok(())
            }
            "job" => {
                let place = cursor.place("the job")?;
                super::once(&mut self.job, JobRule::Id(place), at, "job")
            }
            "job-by" => {
                let rule = field(cursor, "the register")?;
                super::once(&mut self.job, JobRule::Register(rule), at, "job-by")
            }
            "field" => {
                let rule = field(cursor, "the share field")?;
                if self.fields.iter().any(|known| known.name == rule.name) {
                    return Err((at, format!("the field `{}` stands here already", rule.name)));
                }
                self.fields.push(rule);
                Ok(())
            }
            "options" => {
                let place = cursor.place("the list of options")?;
                self.verb(Verb::Options(place), at)
            }
            "option" => self.option(cursor),
            "grants" | "denies" => {
                let template = members(holes_outside(cursor.template(word, diff1)?, &OF_ENVELOPES)?, at)?;
                let Some(option) = self.options.last_mut() else {
                    return Err((at, format!("`{word}` has to follow an `option`")));
                };
                *(if word == "grants" { &mut option.grants } else { &mut option.denies }) = template;
                Ok(())
            }
            "negotiate" | "extranonce-updates" | "suggest" => {
                let ask = ask(cursor, word)?;
                self.verb(Verb::Ask(ask), at)
            }
            "get-job" => {
                self.with_job = true;
                self.verb(Verb::GetJob, at)
            }
            "with" => {
                if !cursor.take("job") {
                    return Err((at, "only `with job` is known".to_owned()));
                }
                self.with_job = true;
                Ok(())
            }
            "ignore" => {
                self.verb(Verb::Ignore, at)?;
                self.reply(Reply::Silent, at)
            }
            "silent" => self.reply(Reply::Silent, at),
            "reply" => {
                let template = holes_outside(cursor.template("the reply", diff1)?, &OF_OTHERS)?;
                self.reply(Reply::Result(template), at)
            }
            "refuse" => {
                let failure = failure(cursor)?;
                let text = if cursor.at_quote() { Some(cursor.quoted("the text")?) } else { None };
                self.reply(Reply::Refuse(failure, text), at)
            }
            "then" => {
                self.then = then(cursor, draft)?;
                Ok(())
            }
            other => {
                let known = "hello, login, submit, worker, job, job-by, field, options, option, grants, denies, \
                             negotiate, extranonce-updates, suggest, get-job, with, ignore, silent, reply, \
                             refuse, then";
                Err((at, format!("`{other}` is not a clause of `on`; known are {known}")))
            }
        }
    }

    fn verb(&mut self, verb: Verb, at: usize) -> Result<(), Wrong> {
        match self.verb.replace(verb) {
            None => Ok(()),
            Some(_) => Err((at, "a message means one thing: this is the second verb here".to_owned())),
        }
    }

    fn reply(&mut self, reply: Reply, at: usize) -> Result<(), Wrong> {
        match self.reply.replace(reply) {
            None => Ok(()),
            Some(_) => Err((at, "a message has one answer: this is the second here".to_owned())),
        }
    }

    fn option(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        let name = cursor.word("the option's name")?;
        let at = cursor.at - name.len();
        if self.options.iter().any(|option| option.name == name || option.name == "*") {
            return Err((at, format!("the option `{name}` or `*` stands here already")));
        }
        let ask = match cursor.peek_word() {
            Some(word @ ("negotiate" | "extranonce-updates" | "suggest")) => {
                cursor.at += word.len();
                ask(cursor, word)?
            }
            _ => Ask::Nothing,
        };
        let (grants, denies) = (Template::default(), Template::default());
        self.options.push(OptionRule { name: name.to_owned(), ask, grants, denies });
        Ok(())
    }

    fn finish(self, conditions: Vec<Condition>, start: usize) -> Result<Handler, Wrong> {
        let wrong = |message: &str| Err((start, message.to_owned()));
        let mut verb = self.verb.unwrap_or(Verb::Static);
        let is_submit = matches!(verb, Verb::Submit(_));
        if !is_submit && (self.worker.is_some() || self.job.is_some() || !self.fields.is_empty()) {
            return wrong("worker, job, job-by and field belong to `submit`");
        }
        let is_options = matches!(verb, Verb::Options(_));
        if !is_options && !self.options.is_empty() {
            return wrong("`option` belongs to `options /a/pointer`");
        }
        let reply = match (is_options, self.reply) {
            (true, None) => Reply::Options,
            (true, Some(_)) => return wrong("`options` answers by its grants and denies, without a reply"),
            (false, Some(reply)) => reply,
            (false, None) => return wrong("the answer is missing: reply, refuse or silent"),
        };
        if let Some(option) = self.options.iter().find(|option| option.grants.parts.is_empty())
            && (matches!(option.ask, Ask::Negotiate(_)) || option.denies.parts.is_empty())
        {
            return Err((start, format!("the option `{}` has no `grants {{…}}`", option.name)));
        }
        if let Verb::Submit(rule) = &mut verb {
            let Some(job) = self.job else {
                return wrong("`submit` needs `job /a/pointer` or `job-by register …`");
            };
            if self.fields.is_empty() {
                return wrong("`submit` needs at least one `field`");
            }
            *rule = SubmitRule { worker: self.worker, job, fields: self.fields };
        }
        Ok(Handler {
            conditions,
            verb,
            options: self.options,
            with_job: self.with_job,
            reply,
            then: self.then,
        })
    }
}

fn no_place() -> crate::document::Place {
    crate::document::Place { written: String::new(), pointers: Vec::new() }
}

fn ask(cursor: &mut Cursor<'_>, word: &str) -> Result<Ask, Wrong> {
    match word {
        "negotiate" => {
            let rule = field(cursor, "the field to negotiate")?;
            if rule.part == Part::No {
                Ok(Ask::Negotiate(rule))
            } else {
                Err((rule.at, "the extranonce is given, not negotiated".to_owned()))
            }
        }
        "extranonce-updates" => Ok(Ask::ExtranonceUpdates),
        _ => {
            let at = cursor.at;
            match cursor.word("difficulty or target")? {
                "difficulty" => Ok(Ask::SuggestDifficulty(cursor.place("the difficulty")?)),
                "target" => {
                    let mut rule = rule(cursor, "target", at)?;
                    rule.length = rule.length.or(Some(32));
                    if rule.is_target() {
                        Ok(Ask::SuggestTarget(rule))
                    } else {
                        Err((at, "a target is 32 bytes of hex".to_owned()))
                    }
                }
                other => Err((at, format!("`suggest` takes difficulty or target, not `{other}`"))),
            }
        }
    }
}

/// `NAME /pointer FORMAT modifiers…`
fn field(cursor: &mut Cursor<'_>, what: &str) -> Result<FieldRule, Wrong> {
    let name = cursor.word(what)?;
    let at = cursor.at - name.len();
    if !is_name(name) {
        return Err((at, format!("`{name}` is not the name of a field")));
    }
    rule(cursor, name, at)
}

fn rule(cursor: &mut Cursor<'_>, name: &str, at: usize) -> Result<FieldRule, Wrong> {
    let (name, part) = match name {
        "xn.suffix" => ("xn", Part::Suffix),
        "xn" => ("xn", Part::Whole { or_suffix: false }),
        name => (name, Part::No),
    };
    let place = cursor.place("the parameter")?;
    let wire = match cursor.word("the form: hex, hex0x, hexany, num or text")? {
        "hex" => Wire::Hex,
        "hex0x" => Wire::Hex0x,
        "hexany" => Wire::HexAny,
        "num" => Wire::Number,
        "text" => Wire::Text,
        other => return Err((at, format!("a form is hex, hex0x, hexany, num or text, not `{other}`"))),
    };
    let mut rule = FieldRule {
        name: name.into(),
        part,
        place,
        wire,
        length: None,
        pad_left: false,
        pad_right: false,
        cut: false,
        reverse: false,
        default: None,
        optional: false,
        at,
    };
    loop {
        if cursor.take("len") {
            match usize::try_from(cursor.number("the length in bytes")?) {
                Ok(length @ 1..=4096) => rule.length = Some(length),
                _ => return Err((at, "a length is 1 to 4096 bytes".to_owned())),
            }
        } else if cursor.take("pad-left") {
            rule.pad_left = true;
        } else if cursor.take("pad-right") {
            rule.pad_right = true;
        } else if cursor.take("cut") {
            rule.cut = true;
        } else if cursor.take("rev") {
            rule.reverse = true;
        } else if cursor.take("optional") {
            rule.optional = true;
        } else if cursor.take("or-suffix") {
            match &mut rule.part {
                Part::Whole { or_suffix } => *or_suffix = true,
                _ => return Err((at, "or-suffix belongs to the field xn".to_owned())),
            }
        } else if cursor.take("default") {
            let word = cursor.word("the default in hex")?;
            let default = hex_bytes(word).ok_or_else(|| (at, format!("`{word}` is not hex")))?;
            rule.default = Some(default);
        } else {
            break;
        }
    }
    check(rule)
}

fn check(rule: FieldRule) -> Result<FieldRule, Wrong> {
    let wrong = |message: &str| Err((rule.at, format!("{}: {message}", rule.name)));
    let digits = matches!(rule.wire, Wire::Hex | Wire::Hex0x | Wire::HexAny);
    if rule.part != Part::No && (rule.length.is_some() || !digits || rule.reverse || rule.default.is_some()) {
        return wrong("the extranonce is hex, and its length follows from the session");
    }
    if rule.wire == Wire::Number && rule.length.is_none_or(|length| length > 16) {
        return wrong("a number needs `len` of 1 to 16 bytes");
    }
    if !digits && (rule.pad_left || rule.pad_right || rule.cut) {
        return wrong("pad-left, pad-right and cut are for hex");
    }
    if rule.pad_left && rule.pad_right {
        return wrong("zeros go either to the left or to the right");
    }
    if (rule.pad_right || rule.cut) && rule.length.is_none() && rule.part == Part::No {
        return wrong("pad-right and cut need `len`");
    }
    if rule.default.is_some() && rule.optional {
        return wrong("a field with a default is never absent");
    }
    if let (Some(default), Some(length)) = (&rule.default, rule.length)
        && default.len() != length
    {
        return wrong("the default has another length");
    }
    Ok(rule)
}
