//! The book as it stood: after a record, at a time, or around the division of an income. It is computed from the records
//! and nothing else, so that it is what the pool itself had then, and what it has does not change.

use crate::reader::{Head, Reader, broken};
use crate::{Book, Entry, IncomeKey, LedgerError, Record};
use millpond_types::UnixMillis;

/// When a book is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// After this record; 0 is before the first.
    Record(u64),
    /// Before the first record that is later than this. The order of records decides and not their times, which may go
    /// back: an entry of an income has the income's time.
    Time(UnixMillis),
    /// Right before the first division of this income.
    Before(IncomeKey),
    /// Right after it.
    After(IncomeKey),
}

impl Past {
    /// Whether a record belongs to it, and whether it is the last one that does.
    fn takes(&self, record: &Record) -> (bool, bool) {
        let divides = |key: &IncomeKey| matches!(&record.entry, Entry::IncomeAllocated(it) if it.key == *key);
        match self {
            Self::Record(last) => (record.seq <= *last, record.seq >= *last),
            Self::Time(time) => (record.at <= *time, record.at > *time),
            Self::Before(key) => (!divides(key), divides(key)),
            Self::After(key) => (true, divides(key)),
        }
    }
}

impl Reader {
    /// The book as it stood, and the record it stood after.
    ///
    /// # Errors
    /// When a record does not check, when there are fewer records than asked for, or no division of that income.
    pub fn past(&self, when: &Past) -> Result<(Book, Head), LedgerError> {
        let (mut book, mut head, mut over) = (Book::default(), Head::default(), *when == Past::Record(0));
        self.for_each_record(&mut |record, bytes| {
            // What comes after is walked as well: that its chain holds is part of the answer.
            if over {
                return Ok(());
            }
            let (taken, last) = when.takes(record);
            over = last;
            if taken {
                book.replay(record).map_err(|error| broken(record.seq, error))?;
                head = Head { seq: record.seq, digest: millpond_types::Digest::of(bytes) };
            }
            Ok(())
        })?;
        match when {
            Past::Record(last) if head.seq < *last => {
                Err(broken(*last, format!("the ledger has {} records", head.seq)))
            }
            Past::Before(key) | Past::After(key) if !over => {
                Err(broken(head.seq, format!("no record up to the newest divides income {key}")))
            }
            _ => Ok((book, head)),
        }
    }
}
