//! A data folder with one pool: incomes go to the journal first and to the ledger then, as in a running pool.
#![allow(dead_code)]

use millpond_disk::{Disk, replace_file};
use millpond_journal::{
    Income, IncomeAt, Journal, Options, PluginInForce, Policy, Share, Solution, WindowEnd, WorkerId,
};
use millpond_ledger::{Allocation, Entry, IncomeAllocated, IncomeKey, Ledger, Owner, Share as Part};
use millpond_types::{Amount, Digest, JobId, MinerId, PoolName, ShareSeq, UnixMillis, Work};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

pub fn name() -> PoolName {
    PoolName::try_from("btc".to_owned()).unwrap()
}

pub struct Pool {
    pub disk: Arc<dyn Disk>,
    pub journal: Journal,
    pub ledger: Ledger,
    pub miner: MinerId,
    made: u64,
}

impl Pool {
    pub fn open(disk: Arc<dyn Disk>, data: &Path) -> Self {
        let folder = data.join("btc");
        disk.make_dir(&folder.join("plugins")).unwrap();
        disk.make_dir(&folder.join("solutions")).unwrap();
        let options = Options { max_wait: Duration::ZERO, segment_bytes: 3000, ..Options::new("journal") };
        let (journal, _) = Journal::open(Arc::clone(&disk), &folder.join("journal"), options).unwrap();
        let ledger = Ledger::open(Arc::clone(&disk), &folder.join("ledger")).unwrap();
        let miner = journal.miner(b"payee", "address").wait().unwrap();
        let made = journal.view().newest().0;
        let pool = Self { disk, journal, ledger, miner, made };
        if pool.journal.newest_policy().is_none() {
            let component = Digest::of(b"component");
            let path = folder.join("plugins").join(format!("{component}.wasm"));
            replace_file(pool.disk.as_ref(), &path, b"component").unwrap();
            let scheme =
                PluginInForce { name: "prop".into(), component, config: component, settings: vec![] };
            let policy =
                Policy { from: ShareSeq(0), scheme, fees: vec![], reason: "start".into(), time: NOW };
            pool.journal.record(policy).wait().unwrap();
            replace_file(pool.disk.as_ref(), &folder.join("adapter-state"), b"state").unwrap();
            replace_file(pool.disk.as_ref(), &data.join("tokens.json"), b"[]").unwrap();
        }
        pool
    }

    pub fn share(&mut self) -> ShareSeq {
        self.made += 1;
        let share = Share {
            miner: self.miner,
            worker: WorkerId(1),
            job: JobId(1),
            coord: 100,
            network_work: 1000,
            reward: Amount(50),
            subsidy: None,
            work: Work(7),
            time: UnixMillis(NOW.0 + self.made),
            id: Digest::of(&self.made.to_le_bytes()).0,
        };
        self.journal.share(share).wait().unwrap()
    }

    /// An income, recorded, divided and matured.
    pub fn income(&mut self) {
        let seq = self.share();
        let key = seq.0.to_be_bytes().to_vec();
        let time = UnixMillis(NOW.0 + seq.0);
        let end = WindowEnd { seq, time, ..WindowEnd::default() };
        let mut income = Income {
            key: key.clone(),
            amount: Amount(50),
            at: IncomeAt::Coord(100),
            mature: false,
            job: None,
            finder: None,
            end,
            time,
        };
        self.journal.record(income.clone()).wait().unwrap();
        let parts = Allocation::new(vec![Part(Owner::Miner(self.miner), Amount(50))]).unwrap();
        let key = IncomeKey::new(key).unwrap();
        let entry = IncomeAllocated::new(key.clone(), Amount(50), Amount::ZERO, parts, Vec::new()).unwrap();
        self.ledger.append(time, Entry::IncomeAllocated(entry)).unwrap();
        income.mature = true;
        self.journal.record(income).wait().unwrap();
        self.ledger.append(time, Entry::Matured { key }).unwrap();
    }

    pub fn solution(&mut self, data: &Path) {
        let seq = self.share();
        let block = Digest::of(&seq.0.to_le_bytes()).0.to_vec();
        let path = data.join("btc/solutions").join(format!("{}.body", seq.0));
        replace_file(self.disk.as_ref(), &path, b"template").unwrap();
        let solution = Solution {
            block,
            job: JobId(1),
            miner: self.miner,
            worker: WorkerId(1),
            share: None,
            end: ShareSeq(0),
            coord: 100,
            network_work: 1000,
            fields: vec![],
            results: vec![],
            private: None,
            time: NOW,
        };
        self.journal.solution(solution, None).wait().unwrap();
    }
}
