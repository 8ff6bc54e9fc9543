//! The books for Beancount (<https://beancount.github.io/docs/beancount_language_syntax.html>).
//!
//! Beancount sorts by day and opens an account before its first posting, so the ledger is read twice: for the first day
//! of each account, and for its transactions. The balances at the end are the book's own; the program compares them with
//! what it sums up, and says where they differ.

use super::accounting::{Accounting, Day, Transaction, plain};
use crate::{LedgerError, Reader};
use std::collections::BTreeMap;
use std::io::Write;

pub(super) fn write(
    reader: &Reader,
    accounting: &Accounting,
    out: &mut dyn Write,
) -> Result<u64, LedgerError> {
    let mut opened = BTreeMap::<String, Day>::new();
    let walked = accounting.walk(reader, &mut |transaction| {
        for name in transaction.postings.keys() {
            let day = opened.entry(name.clone()).or_insert(transaction.day);
            *day = transaction.day.min(*day);
        }
        Ok(())
    })?;
    let commodity = &accounting.commodity;
    let symbol = commodity.symbol();
    writeln!(out, "option \"operating_currency\" \"{symbol}\"\n")?;
    for (name, day) in &opened {
        writeln!(out, "{} open {name} {symbol}", day.written('-'))?;
    }
    accounting.walk(reader, &mut |transaction| write_one(accounting, &transaction, out))?;
    // A balance holds at the beginning of its day.
    writeln!(out)?;
    let after = walked.newest.next().written('-');
    for name in opened.keys() {
        let amount = commodity.decimal(walked.balances.get(name).copied().unwrap_or(0));
        // To the unit: without a tolerance of its own the program takes one too many for rounding.
        writeln!(out, "{after} balance {name:<42} {amount:>28} ~ 0 {symbol}")?;
    }
    Ok(walked.records)
}

fn write_one(
    accounting: &Accounting,
    transaction: &Transaction,
    out: &mut dyn Write,
) -> Result<(), LedgerError> {
    let Transaction { day, kind, about, why, payment, txid, record, postings } = transaction;
    write!(out, "\n{} * \"{kind}\" \"{about}\"", day.written('-'))?;
    if let Some(payment) = payment {
        write!(out, " ^payment-{payment}")?;
    }
    writeln!(out)?;
    if let Some((seq, at, digest)) = record {
        writeln!(out, "  seq: {seq}\n  at-ms: {}\n  record: \"{digest}\"", at.0)?;
    }
    let texts = [("txid", txid), ("why", why)];
    for (key, text) in texts.iter().filter_map(|(key, text)| Some((key, text.as_ref()?))) {
        writeln!(out, "  {key}: \"{}\"", plain(text, &quoted))?;
    }
    for (name, amount) in postings {
        let amount = accounting.commodity.decimal(*amount);
        writeln!(out, "  {name:<42} {amount:>28} {}", accounting.commodity.symbol())?;
    }
    Ok(())
}

fn quoted(c: char) -> Option<&'static str> {
    match c {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        _ => None,
    }
}
