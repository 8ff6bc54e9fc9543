//! What survives, what is rebuilt, and what does not pass verification.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Disk, Fault, Keep, Operation, SimDisk};
use millpond_ledger::{
    Entry, ExportFormat, Ledger, LedgerError, Owner, Reader, Record, StatementWhat, verify_proof,
};
use millpond_segments::LogError;
use millpond_types::{Amount, Digest, ShareSeq};
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_restart_finds_the_same_books_and_the_same_head() {
    let disk = SimDisk::new();
    let ledger = write(&disk);
    let (book, head, totals) = (ledger.book().clone(), ledger.head(), ledger.totals());
    assert!(totals.conserved);
    drop(ledger);
    let again = open(&disk);
    assert_eq!((again.book().clone(), again.head()), (book, head));
    let verified = again.reader().verify().unwrap();
    assert_eq!((verified.head, verified.totals), (head, totals));
}

#[test]
fn the_same_entries_at_the_same_times_are_the_same_bytes() {
    let (one, two) = (write(&SimDisk::new()), write(&SimDisk::new()));
    assert_eq!(one.head(), two.head());
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_acknowledged_and_counts_nothing_twice() {
    let entries = history();
    let total = {
        let disk = SimDisk::new();
        drop(write(&disk));
        disk.operations()
    };
    for cut in 1..=total {
        for keep in [Keep::Nothing, Keep::Everything, Keep::RandomSubset] {
            let disk = SimDisk::new();
            disk.cut_at(cut, cut * 31, keep);
            let mut acknowledged = 0;
            if let Ok(ledger) = try_open(&disk) {
                for entry in &entries {
                    match ledger.append(AT, entry.clone()) {
                        Ok(_) => acknowledged += 1,
                        Err(_) => break,
                    }
                }
            }
            disk.power_on();
            let ledger = open(&disk);
            let found = usize::try_from(ledger.head().seq).unwrap();
            assert!(
                found == acknowledged || found == acknowledged + 1,
                "cut at {cut}, {keep:?}: {acknowledged} acknowledged, {found} found"
            );
            assert!(ledger.totals().conserved);
            // Whoever did not see the answer says it again: idempotent or counted now, never twice.
            for entry in entries.iter().skip(found) {
                now(&ledger, entry.clone());
            }
            assert_eq!(ledger.totals(), write(&SimDisk::new()).totals());
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_a_restart() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    disk.fail(Operation::Sync, 0, Fault::Io, false);
    assert!(matches!(ledger.append(AT, matured(1)), Err(LedgerError::Log(_))));
    assert_eq!(ledger.payable(&miner(1)), Amount::ZERO);
    assert!(matches!(ledger.append(AT, matured(1)), Err(LedgerError::Stopped)));
    assert!(ledger.stopped().is_some());
    drop(ledger);
    let ledger = open(&disk);
    assert!(ledger.append(AT, matured(1)).is_ok());
    assert_eq!(ledger.payable(&miner(1)), Amount(1000));
}

#[test]
fn a_full_disk_refuses_and_a_restart_goes_on_where_it_was() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    disk.set_capacity(Some(1));
    assert!(ledger.append(AT, matured(1)).is_err());
    drop(ledger);
    disk.set_capacity(None);
    let ledger = open(&disk);
    ledger.append(AT, matured(1)).unwrap();
    assert_eq!((ledger.payable(&miner(1)), ledger.totals().conserved), (Amount(1000), true));
}

#[test]
fn one_flipped_bit_anywhere_in_the_log_is_found() {
    let disk = SimDisk::new();
    drop(write(&disk));
    let dir = Path::new(DIR);
    let name = disk.list(dir).unwrap().into_iter().find(|name| name.ends_with(".seg")).unwrap();
    let path = dir.join(name);
    // The last group is written at closing and holds no record: 10 bytes of frame, 48 of chain.
    let length = disk.open_read(&path).unwrap().len().unwrap() - 58;
    for offset in (0..length).step_by(97) {
        disk.flip_bit(&path, offset, 3).unwrap();
        let found = Reader::open(Arc::new(disk.clone()), dir).and_then(|reader| reader.verify());
        let whole = found.as_ref().is_ok_and(|verified| verified.head.seq == history().len() as u64);
        assert!(!whole, "a flipped bit at {offset} of {length} went unnoticed");
        disk.flip_bit(&path, offset, 3).unwrap();
    }
    assert!(Reader::open(Arc::new(disk.clone()), dir).unwrap().verify().is_ok());
}

#[test]
fn a_statement_holds_proofs_that_a_miner_can_check_alone() {
    let ledger = write(&SimDisk::new());
    let statement = ledger.reader().statement(&miner(1)).unwrap();
    let mut proved = Vec::new();
    let mut paid = Amount::ZERO;
    for line in &statement.lines {
        match &line.what {
            StatementWhat::Credited { key, part, root, proof } => {
                assert!(verify_proof(key, &miner(1), *part, proof, root));
                proved.push((part.0, root.sum.0));
            }
            StatementWhat::Paid { sent, .. } => paid = *sent,
            _ => {}
        }
    }
    assert_eq!((proved, paid), (vec![(1500, 2223), (403, 403)], Amount(990)));
    assert_eq!((statement.payable, statement.immature), (Amount(506), Amount(403)));
}

#[test]
fn the_export_is_a_chain_of_its_own_and_its_postings_balance() {
    let ledger = write(&SimDisk::new());
    let mut lines = Vec::new();
    ledger.reader().export(&ExportFormat::JsonLines, &mut lines).unwrap();
    let mut prev = Digest::default();
    for line in String::from_utf8(lines).unwrap().lines() {
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(record.prev, prev);
        prev = Digest::of(line.as_bytes());
    }
    assert_eq!(prev, ledger.head().digest);

    let mut csv = Vec::new();
    ledger.reader().export(&ExportFormat::Csv, &mut csv).unwrap();
    let (mut debits, mut credits) = (0_u64, 0_u64);
    for line in String::from_utf8(csv).unwrap().lines().skip(1) {
        let columns: Vec<_> = line.split(',').collect();
        assert_eq!(columns.len(), 6, "{line}");
        debits += columns[4].parse::<u64>().unwrap_or(0);
        credits += columns[5].parse::<u64>().unwrap_or(0);
    }
    assert!(debits > 0);
    assert_eq!(debits, credits);
}

#[test]
fn the_ledger_is_read_beside_a_running_pool() {
    let disk = SimDisk::new();
    let ledger = write(&disk);
    let beside = Reader::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    assert_eq!(beside.verify().unwrap().head, ledger.head());
    assert!(try_open(&disk).is_err(), "two writers");
}

/// A long history: deposits and notes, so that every entry is one record.
fn long(count: u64) -> impl Iterator<Item = Entry> {
    (0..count).map(|number| deposit(miner(number % 7 + 1), i128::from(number) + 1))
}

fn open_with(disk: &SimDisk, every: u64) -> Result<Ledger, LedgerError> {
    Ledger::open_with(Arc::new(disk.clone()), Path::new(DIR), every)
}

fn books(disk: &SimDisk) -> Vec<String> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.into_iter().filter(|name| name.ends_with(".book")).collect()
}

#[test]
fn a_ledger_opens_from_its_newest_checkpoint_and_verify_still_reads_everything() {
    let disk = SimDisk::new();
    let ledger = open_with(&disk, 8).unwrap();
    for entry in history().into_iter().chain(long(100)) {
        now(&ledger, entry);
    }
    assert!(ledger.checkpoint_error().is_none());
    let (book, head) = (ledger.book().clone(), ledger.head());
    drop(ledger);
    let again = open_with(&disk, 8).unwrap();
    assert!(again.read_at_open() < 8, "{} records were read of {}", again.read_at_open(), head.seq);
    assert_eq!((again.book().clone(), again.head()), (book.clone(), head));
    assert_eq!(books(&disk).len(), 1, "older checkpoints are of no use");
    let reader = again.reader();
    assert_eq!(reader.verify().unwrap().head, head);
    assert_eq!(reader.replay().unwrap(), (book.clone(), head));
    drop(again);
    // Without its file the checkpoint is worth nothing, and nothing is lost.
    disk.remove(&Path::new(DIR).join(&books(&disk)[0])).unwrap();
    let whole = open_with(&disk, 8).unwrap();
    assert_eq!((whole.read_at_open(), whole.book().clone(), whole.head()), (head.seq, book, head));
}

#[test]
fn large_records_are_followed_by_a_checkpoint_before_they_are_many() {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    let list: Vec<_> = (1..=400_000).map(|id| (miner(id), id * 1_000_000)).collect();
    while books(&disk).is_empty() {
        now(&ledger, allocated(ledger.head().seq + 1, &list));
        assert!(ledger.head().seq < 100, "entries of 8 MB each are read again at every open");
    }
    assert!(ledger.checkpoint_error().is_none());
    let (book, head) = (ledger.book().clone(), ledger.head());
    drop(ledger);
    let again = open(&disk);
    assert_eq!((again.read_at_open(), again.book().clone(), again.head()), (0, book, head));
    // What the book itself takes counts too: the next one is not written sooner than that.
    now(&again, allocated(1_000, &list));
    assert_eq!(again.head().seq, head.seq + 1, "a checkpoint for each entry");
}

#[test]
fn an_entry_that_no_record_holds_is_told_before_it_is_written() {
    let ledger = open(&SimDisk::new());
    let credited = |state: usize| {
        let parts = parts(&[(miner(1), 1)]);
        Entry::Accrued { first: ShareSeq(1), last: ShareSeq(1), parts, state: vec![7; state] }
    };
    now(&ledger, deposit(Owner::Reserve, 10));
    // Each byte of state takes two.
    let most = 32 << 20;
    let wide = credited(most);
    assert!(
        matches!(wide.fits(), Err(LedgerError::TooLarge { kind: "accrued", bytes, .. }) if bytes > 2 * most)
    );
    assert!(matches!(ledger.append(AT, wide), Err(LedgerError::Log(LogError::TooLarge { .. }))));
    let narrow = credited(most - 1024);
    narrow.fits().unwrap();
    now(&ledger, narrow);
}

/// Writes a checkpoint as the first version did: the book without what each owner was sent.
fn checkpoint_of_the_first_form(disk: &SimDisk, ledger: &Ledger) {
    let mut form = serde_json::to_string(&*ledger.book()).unwrap();
    let paid = form.rfind(",\"paid\":").unwrap();
    form.truncate(paid);
    form.push('}');
    let place = Path::new(DIR).join(format!("{:020}.book", ledger.head().seq));
    millpond_disk::replace_file(disk, &place, form.as_bytes()).unwrap();
    now(ledger, Entry::Checkpoint { book: Digest::of(form.as_bytes()) });
}

#[test]
fn a_ledger_whose_checkpoints_are_of_the_first_form_opens_verifies_and_goes_on() {
    let disk = SimDisk::new();
    let ledger = write(&disk);
    assert!(ledger.book().paid(&miner(1)) > Amount::ZERO, "its history has a payment");
    checkpoint_of_the_first_form(&disk, &ledger);
    for entry in long(3) {
        now(&ledger, entry);
    }
    let (book, head) = (ledger.book().clone(), ledger.head());
    drop(ledger);
    let again = open_with(&disk, 8).unwrap();
    // Everything is read: that form does not hold what each owner was sent.
    assert_eq!((again.read_at_open(), again.book().clone(), again.head()), (head.seq, book, head));
    assert_eq!(again.reader().verify().unwrap().head, head);
    for entry in (500..520).map(|number| allocated(number, &[(miner(1), 10)])) {
        now(&again, entry);
    }
    assert!(again.checkpoint_error().is_none());
    drop(again);
    assert!(open_with(&disk, 8).unwrap().read_at_open() < 9, "from a checkpoint of today's form");
}

#[test]
fn a_checkpoint_that_is_damaged_or_forged_is_not_used() {
    let disk = SimDisk::new();
    let ledger = open_with(&disk, 8).unwrap();
    for entry in long(50) {
        now(&ledger, entry);
    }
    let (book, head) = (ledger.book().clone(), ledger.head());
    drop(ledger);
    let path = Path::new(DIR).join(&books(&disk)[0]);
    let length = disk.open_read(&path).unwrap().len().unwrap();
    for offset in (0..length).step_by(31) {
        disk.flip_bit(&path, offset, 2).unwrap();
        let ledger = open_with(&disk, 8).unwrap();
        assert_eq!((ledger.read_at_open(), ledger.head()), (head.seq, head), "a flipped bit at {offset}");
        assert_eq!(*ledger.book(), book);
        drop(ledger);
        disk.flip_bit(&path, offset, 2).unwrap();
    }
    // A richer book under the right name: the chain does not vouch for it.
    let text = String::from_utf8(millpond_disk::read_file(&disk, &path).unwrap()).unwrap();
    let forged = text.replacen("\"payable/m1\":", "\"payable/m1\":9", 1);
    assert_ne!(forged, text, "{text}");
    millpond_disk::replace_file(&disk, &path, forged.as_bytes()).unwrap();
    assert_eq!(*open_with(&disk, 8).unwrap().book(), book);
}

#[test]
fn a_checkpoint_of_another_book_is_refused() {
    let ledger = write(&SimDisk::new());
    let lie = Entry::Checkpoint { book: Digest::of(b"another book") };
    assert!(matches!(ledger.append(AT, lie), Err(LedgerError::Checkpoint)));
}

#[test]
fn a_power_cut_at_any_operation_of_a_checkpoint_loses_and_invents_nothing() {
    const EVERY: u64 = 5;
    let entries: Vec<_> = history().into_iter().chain(long(6)).collect();
    let run = |disk: &SimDisk| {
        let mut acknowledged = 0;
        if let Ok(ledger) = open_with(disk, EVERY) {
            for entry in &entries {
                if ledger.append(AT, entry.clone()).is_err() {
                    break;
                }
                acknowledged += 1;
            }
        }
        acknowledged
    };
    let wanted = {
        let disk = SimDisk::new();
        run(&disk);
        open_with(&disk, EVERY).unwrap().totals()
    };
    let total = {
        let disk = SimDisk::new();
        run(&disk);
        disk.operations()
    };
    for cut in 1..=total {
        for keep in [Keep::Nothing, Keep::Everything, Keep::RandomSubset] {
            let disk = SimDisk::new();
            disk.cut_at(cut, cut * 17, keep);
            let acknowledged = run(&disk);
            disk.power_on();
            let ledger = open_with(&disk, EVERY).unwrap();
            let (book, head) = ledger.reader().replay().unwrap();
            assert_eq!((ledger.book().clone(), ledger.head()), (book, head), "cut at {cut}, {keep:?}");
            let mut found = 0;
            ledger
                .reader()
                .for_each_record(&mut |record, _| {
                    found += usize::from(!matches!(record.entry, Entry::Checkpoint { .. }));
                    Ok(())
                })
                .unwrap();
            assert!(found == acknowledged || found == acknowledged + 1, "cut at {cut}, {keep:?}");
            for entry in entries.iter().skip(found) {
                now(&ledger, entry.clone());
            }
            assert_eq!(ledger.totals(), wanted, "cut at {cut}, {keep:?}");
        }
    }
}

#[test]
fn a_full_disk_costs_the_checkpoint_and_not_the_entry() {
    let disk = SimDisk::new();
    let ledger = open_with(&disk, 4).unwrap();
    for entry in long(3) {
        now(&ledger, entry);
    }
    // The fourth entry is written; the file of its checkpoint cannot be made.
    disk.fail(Operation::Create, 0, Fault::Io, false);
    now(&ledger, deposit(miner(1), 1000));
    assert!(ledger.checkpoint_error().is_some());
    for entry in long(4) {
        now(&ledger, entry);
    }
    assert!(ledger.checkpoint_error().is_none(), "{:?}", ledger.checkpoint_error());
    drop(ledger);
    assert!(open_with(&disk, 4).unwrap().read_at_open() < 4);
}
