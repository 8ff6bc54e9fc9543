//! The ledger written out for others: JSON lines that can be verified on their own, CSV, and the books as two programs for
//! book-keeping read them.

mod accounting;
mod beancount;
mod ledger_cli;

pub use accounting::{Accounting, Commodity, CommodityError, Miners};

use crate::{Book, LedgerError, Reader};
use std::io::Write;

/// What an export looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Each record as it is stored, one a line: the BLAKE3 of a line (without its newline) is the next one's `prev`.
    JsonLines,
    /// One posting a line: `seq,at_ms,kind,account,debit,credit`. An entry without postings has one line with empty
    /// account and amounts.
    Csv,
    /// Text that Beancount reads. It ends with the book's balances, which the program holds against its own sums.
    Beancount(Accounting),
    /// Text that Ledger reads, with the same at its end.
    LedgerCli(Accounting),
}

/// Writes all records.
///
/// # Errors
/// When the log cannot be read or the writer fails.
pub(crate) fn export(
    reader: &Reader,
    format: &ExportFormat,
    out: &mut dyn Write,
) -> Result<u64, LedgerError> {
    match format {
        ExportFormat::JsonLines => json_lines(reader, out),
        ExportFormat::Csv => csv(reader, out),
        ExportFormat::Beancount(accounting) => beancount::write(reader, accounting, out),
        ExportFormat::LedgerCli(accounting) => ledger_cli::write(reader, accounting, out),
    }
}

fn json_lines(reader: &Reader, out: &mut dyn Write) -> Result<u64, LedgerError> {
    let head = reader.for_each_record(&mut |_, bytes| {
        out.write_all(bytes)?;
        Ok(out.write_all(b"\n")?)
    })?;
    Ok(head.seq)
}

fn csv(reader: &Reader, out: &mut dyn Write) -> Result<u64, LedgerError> {
    let mut book = Book::default();
    writeln!(out, "seq,at_ms,kind,account,debit,credit")?;
    let head = reader.for_each_record(&mut |record, _| {
        let (seq, at, kind) = (record.seq, record.at.0, record.entry.kind());
        let postings = book.replay(record)?;
        if postings.is_empty() {
            writeln!(out, "{seq},{at},{kind},,,")?;
        }
        for posting in postings {
            let (debit, credit) = (posting.amount.max(0), posting.amount.min(0).saturating_neg());
            writeln!(out, "{seq},{at},{kind},{account},{debit},{credit}", account = posting.account)?;
        }
        Ok(())
    })?;
    Ok(head.seq)
}
