//! The books for Ledger (<https://ledger-cli.org/doc/ledger3.html>).
//!
//! Ledger takes transactions in the order of the file. The last one moves nothing and asserts the book's balances: the
//! program refuses the file where its own sums are others.

use super::accounting::{Accounting, Transaction, plain};
use crate::{LedgerError, Reader};
use std::collections::BTreeSet;
use std::io::Write;

pub(super) fn write(
    reader: &Reader,
    accounting: &Accounting,
    out: &mut dyn Write,
) -> Result<u64, LedgerError> {
    let symbol = symbol(accounting);
    let mut names = BTreeSet::new();
    let walked = accounting.walk(reader, &mut |transaction| {
        names.extend(transaction.postings.keys().cloned());
        write_one(accounting, &symbol, &transaction, out)
    })?;
    if !names.is_empty() {
        writeln!(out, "{} * balances as the book has them", walked.newest.next().written('/'))?;
    }
    let commodity = &accounting.commodity;
    for name in names {
        let (none, amount) =
            (commodity.decimal(0), commodity.decimal(walked.balances.get(&name).copied().unwrap_or(0)));
        writeln!(out, "    {name:<42}  {none} {symbol} = {amount} {symbol}")?;
    }
    Ok(walked.records)
}

/// Ledger wants quotes around a name with digits.
fn symbol(accounting: &Accounting) -> String {
    let symbol = accounting.commodity.symbol();
    if symbol.bytes().any(|c| c.is_ascii_digit()) { format!("\"{symbol}\"") } else { symbol.to_owned() }
}

fn write_one(
    accounting: &Accounting,
    symbol: &str,
    transaction: &Transaction,
    out: &mut dyn Write,
) -> Result<(), LedgerError> {
    let Transaction { day, kind, about, why, payment: _, txid, record, postings } = transaction;
    write!(out, "{} * ", day.written('/'))?;
    if let Some((seq, _, _)) = record {
        write!(out, "({seq}) ")?;
    }
    writeln!(out, "{kind} {about}")?;
    if let Some((seq, at, digest)) = record {
        writeln!(out, "    ; seq: {seq}\n    ; at-ms: {}\n    ; record: {digest}", at.0)?;
    }
    let texts = [("txid", txid), ("why", why)];
    for (key, text) in texts.iter().filter_map(|(key, text)| Some((key, text.as_ref()?))) {
        writeln!(out, "    ; {key}: {}", plain(text, &commented))?;
    }
    for (name, amount) in postings {
        writeln!(out, "    {name:<42}  {:>28} {symbol}", accounting.commodity.decimal(*amount))?;
    }
    writeln!(out)?;
    Ok(())
}

/// In a comment Ledger looks for dates in brackets, and for tags between colons.
fn commented(c: char) -> Option<&'static str> {
    match c {
        '[' => Some("("),
        ']' => Some(")"),
        ':' => Some("."),
        _ => None,
    }
}
