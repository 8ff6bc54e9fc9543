//! `millpond verify-statement`: what a pool's statements prove, without the pool.

use crate::commands::divided_by::DividedBy;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_proofs::{
    Against, Evidence, FormError, KeysInForce, NotLookedAt, Part, Proven, PublicKey, SignedHead,
    SignedReceipt, Statement, StatementError, verify_all,
};
use millpond_types::Digest;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Verify statements of a pool, offline: that you were counted, that all parts sum to the reward, and that the pool signed it.
///
/// Exit code 0: all are good. 1: something is wrong. 2: a file cannot be read, or no key was given, so that nobody knows who
/// signed. What a statement cannot prove is in docs/proofs.md.
#[derive(Debug, Args)]
pub struct VerifyStatement {
    /// Statements, each a file as the pool's API gives it.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The pool's key, 64 hex digits, from the pool's own site.
    #[arg(long, value_name = "HEX")]
    key: Option<String>,
    /// The address whose statements they have to be.
    #[arg(long)]
    address: Option<String>,
    /// Heads of the pool from elsewhere: a JSON list as the API gives it, or one head a line.
    #[arg(long)]
    heads: Option<PathBuf>,
    /// A folder of receipts: JSON files of one each, or of all that the pool answered
    #[arg(long)]
    receipts: Option<PathBuf>,
    /// Where evidence goes, if the pool signed two things that cannot both be true.
    #[arg(long, default_value = "equivocation.json")]
    evidence: PathBuf,
    /// One JSON object a statement.
    #[arg(long)]
    json: bool,
}

impl VerifyStatement {
    /// Does it.
    pub fn run(self) -> Outcome {
        let key = self.key.as_deref().map(key).transpose()?;
        let heads = self.heads.as_deref().map(heads).transpose()?.unwrap_or_default();
        let receipts = self.receipts.as_deref().map(receipts).transpose()?.unwrap_or_default();
        let read: Vec<_> = self.files.iter().map(|file| (file, statement(file))).collect();
        let good: Vec<Statement> = read.iter().filter_map(|(_, read)| read.as_ref().ok()).cloned().collect();
        let against =
            Against { key, pool: None, address: self.address.as_deref(), heads: &heads, receipts: &receipts };
        let mut results = verify_all(&good, &against).into_iter();
        let (mut wrong, mut unread) = (false, false);
        for (file, read) in &read {
            let file = file.display().to_string();
            match read {
                Err(NotRead::File(why)) => {
                    unread = true;
                    self.say(&file, &Err(("file", why.clone())));
                }
                Err(NotRead::Form(why)) => {
                    unread = true;
                    let why = StatementError::from(why.clone());
                    self.say(&file, &Err((why.code(), why.to_string())));
                }
                Ok(statement) => {
                    let Some(result) = results.next() else { continue };
                    wrong |= result.is_err();
                    let told = result.map_err(|why| (why.code(), why.to_string()));
                    self.say(&file, &told.map(|proven| (statement, proven)));
                }
            }
        }
        if let Some(evidence) = found(&good, &heads, key) {
            let bytes = serde_json::to_vec_pretty(&evidence)?;
            std::fs::write(&self.evidence, bytes)?;
            let file = self.evidence.display();
            tell!("the pool signed two things that cannot both be true: {file} holds both");
        }
        if key.is_none() {
            tell!(
                "no --key was given: the signatures are good for the keys in the files, and whose those are you have to know"
            );
        }
        Ok(match (wrong, unread || key.is_none()) {
            (true, _) => ExitCode::FAILURE,
            (false, true) => ExitCode::from(2),
            (false, false) => ExitCode::SUCCESS,
        })
    }

    fn say(&self, file: &str, told: &Result<(&Statement, Proven), (&str, String)>) {
        if self.json {
            say!("{}", as_json(file, told));
            return;
        }
        match told {
            Err((code, why)) => say!("{file}: REFUSED ({code}): {}", plain(why)),
            Ok((statement, proven)) => {
                if proven.not_looked_at.contains(&NotLookedAt::Nobody) {
                    say!("{file}: good, about the entry, of nobody in particular");
                } else {
                    say!("{file}: good, for {} ({})", plain(shown(&proven.address)), plain(&proven.owner));
                }
                say!(
                    "  {} {}, ledger entry {}, signed in head {} by {}",
                    kind(statement),
                    plain(&proven.subject),
                    statement.entry.ledger_seq,
                    proven.head,
                    proven.key
                );
                let line = |about: &str, what: &str| say!("  {about}{}", plain(what));
                let by = DividedBy::of(&statement.commitment.what);
                by.iter().flat_map(DividedBy::lines).for_each(|said| line("", &said));
                for part in &proven.parts {
                    let unit = by.as_ref().map(|by| format!("; in {}", by.unit(part))).unwrap_or_default();
                    let of = by.as_ref().and_then(|by| by.followed(part));
                    let of = of.map(|old| format!(", of {old}")).unwrap_or_default();
                    let Part { tree, value, sum, owners } = part;
                    line("", &format!("{tree}{of}: {value} of {sum}, among {owners} owners{unit}"));
                }
                for (window, sums) in &proven.receipts {
                    say!(
                        "  receipts inside of window {window}: {} of work, no more than was counted",
                        sums.work
                    );
                }
                proven.not_looked_at.iter().for_each(|what| line("not looked at: ", &what.to_string()));
                proven.ask_a_node.iter().for_each(|what| line("ask a node: ", &what.to_string()));
            }
        }
    }
}

fn shown(address: &str) -> &str {
    if address.is_empty() { "an account without address" } else { address }
}

/// A text of a document, which could else move the terminal's cursor, or turn its direction, and say something of its own.
fn plain(text: &str) -> String {
    let turns = |one: char| matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |one: char| {
        if one.is_control() || turns(one) { one.escape_default().to_string() } else { one.to_string() }
    };
    text.chars().map(shown).collect()
}

fn kind(statement: &Statement) -> &'static str {
    use millpond_proofs::What;
    match &statement.commitment.what {
        What::Income(_) => "income",
        What::Accrued(_) => "credit for",
        What::Payment(_) => "",
        What::Reversed(_) => "taken back: income",
        What::Kept(_) => "taken back by the chain, kept by the miners: income",
        What::Reinstated(_) => "there again: income",
        What::Undone(_) => "undone:",
    }
}

fn as_json(file: &str, told: &Result<(&Statement, Proven), (&str, String)>) -> Value {
    match told {
        Err((code, why)) => json!({"file": file, "good": false, "code": code, "why": why}),
        Ok((statement, proven)) => {
            let by = DividedBy::of(&statement.commitment.what);
            let parts = proven.parts.iter().map(|part| {
                let (unit, of) =
                    (by.as_ref().map(|by| by.unit(part)), by.as_ref().and_then(|by| by.followed(part)));
                json!({"tree": part.tree.to_string(), "value": part.value.to_string(), "sum": part.sum.to_string(),
                    "owners": part.owners, "unit": unit, "of": of})
            });
            let (scheme, fees, follows) = by.as_ref().map(DividedBy::json).unwrap_or_default();
            let texts = |texts: Vec<String>| Value::from(texts);
            json!({"file": file, "good": true, "pool": proven.pool, "address": proven.address, "owner": proven.owner,
                "subject": proven.subject, "ledger_seq": statement.entry.ledger_seq, "commitment": proven.commitment,
                "head": proven.head, "time": proven.time, "key": proven.key, "parts": parts.collect::<Vec<_>>(),
                "scheme": scheme, "fees": fees, "follows": follows,
                "not_looked_at": texts(proven.not_looked_at.iter().map(ToString::to_string).collect()),
                "ask_a_node": texts(proven.ask_a_node.iter().map(ToString::to_string).collect())})
        }
    }
}

/// Two things among statements and heads that cannot both be true.
fn found(statements: &[Statement], heads: &[SignedHead], key: Option<PublicKey>) -> Option<Evidence> {
    let mut all: Vec<SignedHead> = heads.to_vec();
    all.extend(statements.iter().map(|statement| statement.head.clone()));
    all.retain(|head| head.body.is_named() && head.verify().is_ok());
    // Anybody can sign heads with a key of his own: they neither convince nor stand between two that do.
    let known: BTreeSet<(Digest, PublicKey)> =
        all.iter().map(|head| (head.body.pool, key.unwrap_or(head.body.key))).collect();
    known.into_iter().find_map(|(pool, key)| {
        let keys = KeysInForce::new(key, &pool, &all);
        let by_the_pool = |head: &&SignedHead| {
            head.body.pool == pool && keys.check(&head.body.key, head.body.number).is_ok()
        };
        let heads: Vec<SignedHead> = all.iter().filter(by_the_pool).cloned().collect();
        let pairs = statements.iter().enumerate();
        let mut pairs =
            pairs.flat_map(|(at, one)| statements.iter().skip(at + 1).map(move |other| (one, other)));
        let convinces = |found: &Evidence| found.verify(&keys).is_ok();
        Evidence::among(&heads)
            .filter(convinces)
            .or_else(|| pairs.find_map(|(one, other)| Evidence::between(one, other).filter(convinces)))
    })
}

enum NotRead {
    File(String),
    Form(FormError),
}

fn statement(file: &Path) -> Result<Statement, NotRead> {
    let bytes = std::fs::read(file).map_err(|why| NotRead::File(why.to_string()))?;
    Statement::read(&bytes).map_err(NotRead::Form)
}

/// A key as it is written.
pub(super) fn key(text: &str) -> Result<PublicKey, Failure> {
    let wrong = || Failure::usage("--key is a public key: 64 hex digits, as the pool's site shows it");
    PublicKey::from_hex(text.trim()).ok_or_else(wrong)
}

/// Heads of a file.
pub(super) fn heads(file: &Path) -> Result<Vec<SignedHead>, Failure> {
    let named = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|why| named(&why))?;
    if let Ok(list) = serde_json::from_slice::<Vec<Value>>(&bytes) {
        let read = |head: &Value| SignedHead::read(head.to_string().as_bytes());
        return list.iter().map(read).collect::<Result<_, _>>().map_err(|why| named(&why));
    }
    if let Ok(one) = SignedHead::read(&bytes) {
        return Ok(vec![one]);
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.map(SignedHead::read).collect::<Result<_, _>>().map_err(|why| named(&why))
}

fn receipts(folder: &Path) -> Result<Vec<SignedReceipt>, Failure> {
    let named =
        |path: &Path, why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
    let mut receipts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|why| named(folder, &why))? {
        let path = entry.map_err(|why| named(folder, &why))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let bytes = std::fs::read(&path).map_err(|why| named(&path, &why))?;
            // One, or what the pool answers: all that it has.
            let all = match serde_json::from_slice(&bytes) {
                Ok(serde_json::Value::Array(all)) => {
                    all.iter().map(|one| SignedReceipt::read(one.to_string().as_bytes())).collect()
                }
                _ => SignedReceipt::read(&bytes).map(|one| vec![one]),
            };
            receipts.extend(all.map_err(|why| named(&path, &why))?);
        }
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_document_moves_no_cursor() {
        assert_eq!(plain("m\u{fc}ller 1 \u{1b}[2K\r\n\u{202e}x"), "m\u{fc}ller 1 \\u{1b}[2K\\r\\n\\u{202e}x");
    }
}
