//! Everything that is wrong with a pool's section, as far as it can be told without a node or a wallet: all at once.
//!
//! What a start would meet first and name alone is here named beside the rest: files that are not there, components of
//! another world, documents that do not compile, a schedule that is none.

use crate::dialects;
use crate::payments::schedule;
use crate::setup::{self, SetupError, at};
use crate::sockets;
use millpond_algorithms::Algorithms;
use millpond_chain::Version;
use millpond_config::{Pool as Section, Secret, Span};
use millpond_dialect::Dialect;
use millpond_runtime::{LogSink, Sandbox};
use millpond_stratum::TlsConfig;
use millpond_types::Amount;
use std::path::Path;
use std::sync::Arc;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line of the file, from 1; 0 where none is to blame.
    pub line: usize,
    /// The option, what is wrong with it, and what to do.
    pub text: String,
}

impl Problem {
    /// From a message that begins with `line N: ` where there is one.
    fn of(message: &str) -> Self {
        let numbered = message.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
        match numbered.and_then(|(line, text)| Some((line.parse().ok()?, text))) {
            Some((line, text)) => Self { line, text: text.to_owned() },
            None => Self { line: 0, text: message.to_owned() },
        }
    }
}

/// What is wrong with a section by itself: nothing is loaded and no file is read.
#[must_use]
pub fn section_alone(section: &Section) -> Vec<Problem> {
    let errors = [sockets::stratum(section).err(), schedule(section).err()];
    problems(errors.into_iter().flatten().flat_map(|SetupError(lines)| lines))
}

/// What is wrong with a section and everything that it names. `beside` is the configuration's folder.
#[must_use]
pub fn section(section: &Section, beside: &Path, sandbox: &Sandbox, sink: &Arc<dyn LogSink>) -> Vec<Problem> {
    let mut errors = certificates(section);
    errors.extend(secrets(section));
    let adapter = setup::adapter(&section.chain, beside, sandbox, sink);
    if let Ok((component, adapter, _)) = &adapter {
        let grants = setup::grants(&section.chain, adapter.as_ref(), component);
        let of_chain = |why: &dyn std::fmt::Display| at(section.chain.span, "chain.adapter", why);
        let found = Version::problems(adapter, &Algorithms::native(), &grants);
        errors.extend(found.iter().map(|why| of_chain(why)));
        let documents = &adapter.description().dialects;
        if documents.is_empty() {
            errors.push(of_chain(&"the adapter has no dialect: no miner could be served"));
        }
        errors.extend(dialects_of_ports(
            section,
            documents,
            &dialects::read(section, beside).unwrap_or_default(),
        ));
    }
    if let Err(SetupError(lines)) = setup::prepare_with(section.clone(), adapter, beside, sandbox, sink) {
        errors.extend(lines);
    }
    let mut all = section_alone(section);
    all.extend(problems(errors.into_iter()));
    all.sort();
    all.dedup();
    all
}

/// What a pool starts with all the same, and its operator should look at.
#[must_use]
pub fn doubts(section: &Section, beside: &Path, sandbox: &Sandbox, sink: &Arc<dyn LogSink>) -> Vec<Problem> {
    // What is wrong is told by the errors. The chain's unit of work changes nothing here.
    let Ok(wanted) = setup::wanted(section, 0, beside, sandbox, sink) else { return Vec::new() };
    let credits = setup::credits_shares(&wanted.scheme, &wanted.scheme_settings, sandbox, sink);
    if wanted.reserve > Amount::ZERO || !credits.unwrap_or(false) {
        return Vec::new();
    }
    let why = format!("{}: {}", wanted.scheme.name, setup::NO_RESERVE);
    vec![Problem::of(&at(section.payout.span, "payout.scheme", &why))]
}

fn problems(messages: impl Iterator<Item = String>) -> Vec<Problem> {
    messages.map(|message| Problem::of(&message)).collect()
}

/// Ports that are fixed to a dialect which neither the adapter nor the operator's files have.
fn dialects_of_ports(section: &Section, documents: &[String], own: &[Arc<Dialect>]) -> Vec<String> {
    let compiled = documents.iter().filter_map(|text| Dialect::compile("dialect", text).ok());
    let known = compiled.chain(own.iter().cloned()).map(|dialect| dialect.name().to_owned());
    let known: Vec<String> = known.collect();
    let fixed = section.port.iter().filter_map(|port| Some((port.span, port.dialect.as_ref()?)));
    let unknown = fixed.filter(|(_, name)| !known.contains(name));
    let say = |(span, name): (Span, &String)| {
        at(span, "port.dialect", &format!("there is no dialect {name:?}; there are {}", known.join(", ")))
    };
    unknown.map(say).collect()
}

/// Certificates and keys of ports that cannot be read or do not belong together.
fn certificates(section: &Section) -> Vec<String> {
    let tls = section.port.iter().filter_map(|port| port.tls.as_ref());
    let found = tls.flat_map(|tls| {
        let files = TlsConfig { certificate: tls.certificate.clone(), key: tls.key.clone() };
        files.problems().into_iter().map(move |why| at(tls.span, "port.tls", &why))
    });
    found.collect()
}

/// Passwords and cookies of nodes and wallet that are not to be had.
fn secrets(section: &Section) -> Vec<String> {
    let mut errors = Vec::new();
    let password = |span: Span, option: &str, secret: Option<&Secret>| {
        secret.and_then(|secret| secret.reveal().err()).map(|why| at(span, option, &why))
    };
    for (number, node) in section.node.iter().enumerate() {
        errors.extend(password(node.span, &format!("node.{number}.password"), node.password.as_ref()));
        let cookie = node.cookie.as_deref().and_then(|path| cookie(path).err());
        errors.extend(cookie.map(|why| at(node.span, &format!("node.{number}.cookie"), &why)));
    }
    if let Some(wallet) = &section.wallet {
        errors.extend(password(wallet.span, "wallet.password", wallet.password.as_ref()));
    }
    errors
}

/// A node writes its cookie when it starts: `user:password`.
fn cookie(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("the cookie file {shown} cannot be read: {why}; does the node run?"))?;
    if text.contains(':') { Ok(()) } else { Err(format!("the cookie file {shown} holds no user:password")) }
}
