//! The ledger written out for others: JSON lines that can be verified on their own, and CSV for book-keeping.

use crate::{Book, LedgerError, Reader};
use std::io::Write;

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Each record as it is stored, one a line: the BLAKE3 of a line (without its newline) is the next one's `prev`.
    JsonLines,
    /// One posting a line: `seq,at_ms,kind,account,debit,credit`. An entry without postings has one line with empty
    /// account and amounts.
    Csv,
}

/// Writes all records.
///
/// # Errors
/// When the log cannot be read or the writer fails.
pub(crate) fn export(reader: &Reader, format: ExportFormat, out: &mut dyn Write) -> Result<u64, LedgerError> {
    let mut count = 0;
    let mut book = Book::default();
    if format == ExportFormat::Csv {
        writeln!(out, "seq,at_ms,kind,account,debit,credit")?;
    }
    reader.for_each_record(&mut |record, bytes| {
        count += 1;
        if format == ExportFormat::JsonLines {
            out.write_all(bytes)?;
            return Ok(out.write_all(b"\n")?);
        }
        let (seq, at, kind) = (record.seq, record.at, record.entry.kind());
        let postings = book.replay(record)?;
        if postings.is_empty() {
            writeln!(out, "{seq},{at},{kind},,,", at = at.0)?;
        }
        for posting in postings {
            let (debit, credit) = (posting.amount.max(0), posting.amount.min(0).saturating_neg());
            writeln!(
                out,
                "{seq},{at},{kind},{account},{debit},{credit}",
                at = at.0,
                account = posting.account
            )?;
        }
        Ok(())
    })?;
    Ok(count)
}
