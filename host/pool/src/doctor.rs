//! What `millpond doctor` asks of one pool without starting it: its nodes, one by one and through its own adapter, its
//! wallet, and how long its disk will do. Writes nothing and sends nothing.
//!
//! A node is judged by what the pool needs of it: a job that passes the trust rules within some seconds. Whether the
//! node is on the right network and has caught up, its adapter says.

use crate::payments::wallet;
use crate::policy::{Wanted, WantedFee};
use crate::setup::Prepared;
use millpond_algorithms::Algorithms;
use millpond_chain::{
    Alarm, ChainHandle, ChainSink, CheckedIncome, NodesPort, ReadyJob, Setup, Submission, Version,
};
use millpond_contracts::chain::{Fate, Solution, Watched};
use millpond_contracts::{Setting, Settings};
use millpond_disk::Disk;
use millpond_node::{Address, HttpClient, Limits, NodeSpec, Nodes, Options};
use millpond_payout::{reserve_for, ruin};
use millpond_segments::{Forecast, View};
use millpond_types::{Amount, UnixMillis};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A clock that is off by more than this is told: a header's time may lie two hours ahead at most, and a node judges by
/// its own clock.
const SKEW: u64 = 60_000;
/// A node is behind another when it is this many blocks lower: one may have come in between.
const BEHIND: u64 = 2;
/// A node's first answer may take this long.
const ANSWER: Duration = Duration::from_secs(10);

/// What the bundled fee policies of one rate take where their settings do not say: one percent.
const EVEN_FEE: f64 = 0.01;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Good,
    /// Miners are served, but somebody should look.
    Warning,
    /// The pool does not work so.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The pool's name; empty for the machine.
    pub pool: String,
    /// What was looked at, a stable word or two: "node 0", "wallet", "open files".
    pub about: String,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub text: String,
    /// What to do; empty when nothing is to be done.
    pub remedy: String,
}

/// Findings of one pool, or of the machine.
#[derive(Debug)]
pub struct Findings {
    pool: String,
    /// In the order in which they were made.
    pub all: Vec<Finding>,
}

impl Findings {
    /// Of a pool by its name; empty for the machine.
    #[must_use]
    pub fn of(pool: &str) -> Self {
        Self { pool: pool.to_owned(), all: Vec::new() }
    }

    /// Notes that something is as it should be.
    pub fn good(&mut self, about: &str, text: impl Into<String>) {
        self.note(Health::Good, about, text, "");
    }

    /// Notes that somebody should look.
    pub fn warn(&mut self, about: &str, text: impl Into<String>, remedy: &str) {
        self.note(Health::Warning, about, text, remedy);
    }

    /// Notes that the pool does not work so.
    pub fn bad(&mut self, about: &str, text: impl Into<String>, remedy: &str) {
        self.note(Health::Bad, about, text, remedy);
    }

    fn note(&mut self, health: Health, about: &str, text: impl Into<String>, remedy: &str) {
        let (pool, about, remedy) = (self.pool.clone(), about.to_owned(), remedy.to_owned());
        self.all.push(Finding { pool, about, health, text: text.into(), remedy });
    }
}

/// What a chain told before it had a job.
enum News {
    Job(Arc<ReadyJob>),
    Unfit(String),
    Trouble(String),
}

struct Listener(Sender<News>);

impl Listener {
    fn tell(&self, news: News) {
        // Nobody listens any more once a job was there.
        let _ = self.0.send(news);
    }
}

impl ChainSink for Listener {
    fn publish(&self, job: Arc<ReadyJob>) {
        self.tell(News::Job(job));
    }
    fn unfit(&self, _: u16, reason: &str) {
        self.tell(News::Unfit(reason.to_owned()));
    }
    fn withdraw(&self, why: &str) {
        self.tell(News::Trouble(why.to_owned()));
    }
    fn alarm(&self, alarm: Alarm) {
        self.tell(News::Trouble(alarm.text));
    }
    fn tip(&self, _: &[u8], _: u64) {}
    fn fate(&self, _: &[u8], _: &Fate) {}
    fn income(&self, _: CheckedIncome) {}
    fn income_lost(&self, _: &[u8]) {}
    fn saved(&self, _: &[u8]) {}
    fn version(&self, _: &Version) {}
    fn submitting(&self, _: u64, _: &Watched, _: Amount) {}
    fn submitted(&self, _: &Submission) {}
    fn unassembled(&self, _: u64, _: &Solution, _: &str) {}
}

/// Looks at every node of a pool. Blocks, for up to `patience` per node that gives no job; call it on a thread that may
/// block, with the handle of a runtime of several threads.
pub fn nodes(
    prepared: &Prepared,
    patience: Duration,
    runtime: &tokio::runtime::Handle,
    findings: &mut Findings,
) {
    let mut heights: Vec<(String, u64)> = Vec::new();
    let mut reward = Amount::ZERO;
    for spec in &prepared.nodes {
        if !reachable(spec, runtime, findings) {
            continue;
        }
        match first_job(prepared, spec, patience, runtime) {
            Ok(job) => {
                let text = format!("gives work at {}, reward {}", job.coord, job.reward);
                reward = reward.max(job.reward);
                findings.good(&spec.name, text);
                heights.push((spec.name.clone(), job.coord));
            }
            Err(why) => findings.bad(
                &spec.name,
                format!("gives no work: {why}"),
                "see to it that the node is on the pool's network, has caught up and knows the methods granted",
            ),
        }
    }
    reserve(&prepared.wanted, reward, findings);
    let highest = heights.iter().map(|(_, height)| *height).max().unwrap_or(0);
    for (name, height) in heights {
        if highest - height >= BEHIND {
            let text = format!("is at {height}, another node at {highest}");
            findings.warn(&name, text, "wait until it has caught up, or look why it does not");
        }
    }
}

/// How likely the reserve is spent some day. An estimate for people: nothing is decided by it.
fn reserve(wanted: &Wanted, reward: Amount, findings: &mut Findings) {
    const ABOUT: &str = "reserve";
    if wanted.reserve == Amount::ZERO || reward == Amount::ZERO {
        return;
    }
    let blocks = wanted.reserve.0 as f64 / reward.0 as f64;
    let Some(fee) = declared(wanted) else {
        let text = format!(
            "{blocks:.1} times what a block brings; how likely it is spent some day is not estimated, since what the fee \
             policies take is not one part of everything"
        );
        return findings.good(ABOUT, text);
    };
    let spent = 100.0 * ruin(fee, blocks);
    let text = format!(
        "{blocks:.1} times what a block brings, and {:.2} % of fees: spent some day with a probability of {spent:.3} %, if what \
         the fees bring stays with it",
        100.0 * fee
    );
    match reserve_for(fee, 0.01).filter(|_| spent > 1.0) {
        None if spent <= 1.0 => findings.good(ABOUT, text),
        None => findings.warn(ABOUT, text, "without a fee every reserve is spent some day: take one"),
        Some(blocks) => {
            let fix = format!(
                "for 1 % it takes {blocks:.1} times what a block brings: raise payout.reserve.amount"
            );
            findings.warn(ABOUT, text, &fix);
        }
    }
}

/// The part that fees take together, of all policies and of the scheme itself; `None` where a policy takes more of one credit
/// than of another, or ends somewhere.
fn declared(wanted: &Wanted) -> Option<f64> {
    let rate = |settings: &Settings, name: &str, whole: f64| {
        settings.iter().find_map(|(key, value)| match value {
            Setting::Int(part) if key == name => Some((*part as f64 / whole).clamp(0.0, 1.0)),
            _ => None,
        })
    };
    let of_policy = |fee: &WantedFee| {
        let ends = fee.settings.iter().any(|(name, value)| name == "target" && *value != Setting::Int(0));
        let even = matches!(fee.component.name.as_str(), "flat-fee" | "fee-reserve") && !ends;
        even.then(|| rate(&fee.settings, "basis_points", 1e4).unwrap_or(EVEN_FEE))
    };
    let left = wanted.fees.iter().try_fold(1.0, |left, fee| Some(left * (1.0 - of_policy(fee)?)))?;
    Some(1.0 - left * (1.0 - rate(&wanted.scheme_settings, "fee_ppm", 1e6).unwrap_or(0.0)))
}

/// Whether a node answers at all, lets us in, and has our time.
fn reachable(spec: &NodeSpec, runtime: &tokio::runtime::Handle, findings: &mut Findings) -> bool {
    let name = spec.name.as_str();
    for (transport, address) in &spec.addresses {
        match address {
            Address::Http(endpoint) => {
                let client = match HttpClient::new(endpoint.clone(), Limits::default()) {
                    Ok(client) => client,
                    Err(why) => {
                        findings.bad(name, why.to_string(), "correct node.url");
                        return false;
                    }
                };
                // A call of nothing: who may not call is told so, and nothing is done.
                let asked = UnixMillis::now();
                let answer = runtime.block_on(client.post("", "{}".into(), ANSWER));
                match answer {
                    Err(why) => {
                        findings.bad(name, why.to_string(), "start the node, or correct node.url");
                        return false;
                    }
                    Ok(reply) if matches!(reply.status, 401 | 403) => {
                        let text = format!("{} lets us not in (HTTP {})", client.at(), reply.status);
                        findings.bad(
                            name,
                            text,
                            "correct user and password or cookie, and the node's rpcallowip",
                        );
                        return false;
                    }
                    Ok(reply) => {
                        findings.good(name, format!("answers at {}", client.at()));
                        if let Some(date) = reply.date {
                            clock(name, asked, date, findings);
                        }
                    }
                }
            }
            Address::Zmq(at) => {
                let place = at.trim_start_matches("tcp://").to_owned();
                let connected = runtime.block_on(async {
                    tokio::time::timeout(ANSWER, tokio::net::TcpStream::connect(&place)).await
                });
                match connected {
                    Ok(Ok(_)) => findings.good(name, format!("publishes {transport} at {at}")),
                    _ => findings.warn(
                        name,
                        format!(
                            "nothing publishes {transport} at {at}: new blocks are seen later, by polling"
                        ),
                        "start the node with this zmqpubhashblock, or correct node.zmq",
                    ),
                }
            }
        }
    }
    true
}

fn clock(name: &str, asked: UnixMillis, date: UnixMillis, findings: &mut Findings) {
    let now = UnixMillis::now();
    // Dates have whole seconds, and the answer took its time.
    let (ahead, behind) = (date.since(now), asked.since(date).saturating_sub(1000));
    let skew = ahead.max(behind);
    if skew > SKEW {
        let way = if ahead > behind { "ahead of" } else { "behind" };
        let text = format!("its clock is {} s {way} this machine's", skew / 1000);
        findings.warn(name, text, "let NTP set both clocks");
    }
}

/// The first job that passes the trust rules with this node alone, or what stood in its way.
fn first_job(
    prepared: &Prepared,
    spec: &NodeSpec,
    patience: Duration,
    runtime: &tokio::runtime::Handle,
) -> Result<Arc<ReadyJob>, String> {
    let guard = runtime.enter();
    let started = Nodes::start(prepared.transports.clone(), vec![spec.clone()], Options::default());
    drop(guard);
    let (nodes, events) = started.map_err(|why| why.to_string())?;
    let names = prepared.transports.iter().map(|transport| transport.name.clone()).collect();
    let port = Arc::new(NodesPort::new(nodes, names, runtime.clone()));
    let (sender, news) = channel();
    let setup = Setup {
        adapter: Arc::clone(&prepared.adapter),
        algorithms: Algorithms::native(),
        grants: prepared.grants.clone(),
        trust: prepared.trust(),
        port: Arc::clone(&port) as _,
        sink: Arc::new(Listener(sender)),
        recorder: None,
        swap_time: patience,
        renew_after: 0,
        saved: Vec::new(),
        outputs: (1, prepared.outputs.clone()),
        blocks: Vec::new(),
        incomes: Vec::new(),
    };
    let chain = Arc::new(ChainHandle::start(setup).map_err(|why| why.to_string())?);
    port.forward(events, Arc::downgrade(&chain));
    let found = wait(&news, Instant::now() + patience);
    let last_error = chain.status().last_error;
    chain.finish();
    found.map_err(|troubles| {
        let mut troubles = troubles;
        troubles.extend(last_error);
        troubles.dedup();
        if troubles.is_empty() {
            format!("nothing within {} s", patience.as_secs())
        } else {
            troubles.join("; ")
        }
    })
}

fn wait(news: &Receiver<News>, deadline: Instant) -> Result<Arc<ReadyJob>, Vec<String>> {
    let mut troubles = Vec::new();
    loop {
        match news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(News::Job(job)) => return Ok(job),
            // The adapter has looked at the node and will not have it: a longer wait changes nothing soon.
            Ok(News::Unfit(why)) => return Err(vec![why]),
            Ok(News::Trouble(why)) => troubles.push(why),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(troubles),
        }
    }
}

/// Looks whether the pool's wallet answers, could sign, has what is owed, and holds the address that blocks pay to.
/// Blocks, as [`nodes`].
pub fn pays(
    prepared: &Prepared,
    disk: &Arc<dyn Disk>,
    folder: &Path,
    runtime: &tokio::runtime::Handle,
    findings: &mut Findings,
) {
    const ABOUT: &str = "wallet";
    let section = &prepared.section;
    let wallet = match wallet(section, prepared.adapter.description().final_after, runtime) {
        Ok(Some(wallet)) => wallet,
        Ok(None) if section.chain.coinbase != "pool" => {
            return findings.good(ABOUT, "none is needed: blocks pay their miners");
        }
        Ok(None) => {
            return findings.warn(ABOUT, "there is none: nothing is ever paid", "add a [pool.wallet]");
        }
        Err(why) => return findings.bad(ABOUT, why.to_string(), "correct [pool.wallet]"),
    };
    match wallet.cannot_sign() {
        Err(why) => {
            return findings.bad(ABOUT, why.to_string(), "start the wallet, or correct [pool.wallet]");
        }
        Ok(Some(why)) => findings.bad(ABOUT, format!("cannot sign: {why}"), "payments wait until it can"),
        Ok(None) => findings.good(ABOUT, "answers and can sign"),
    }
    let spendable = match wallet.spendable(&BTreeSet::new()) {
        Ok(spendable) => spendable,
        Err(why) => return findings.bad(ABOUT, why.to_string(), "see to the wallet"),
    };
    match owed(disk, folder) {
        Ok(Some(owed)) if owed > i128::from(spendable.0) => findings.warn(
            ABOUT,
            format!("can spend {spendable}, but {owed} is owed or on its way"),
            "payments of what it lacks wait; send it what is missing",
        ),
        Ok(owed) => {
            let owed = owed.unwrap_or(0);
            findings.good(ABOUT, format!("can spend {spendable}; {owed} is owed or on its way"));
        }
        Err(why) => findings.bad("ledger", why, "restore the ledger from a backup"),
    }
    if let Some(address) = &section.chain.payout_address {
        match wallet.owns(std::slice::from_ref(address)) {
            Ok(owns) if owns.first() == Some(&true) => {
                findings.good(ABOUT, "holds the address that blocks pay to");
            }
            Ok(_) => findings.warn(
                ABOUT,
                format!("does not hold {address}, which blocks pay to"),
                "move incomes to the wallet by hand, or set chain.payout_address to one of its own",
            ),
            Err(why) => {
                findings.warn(ABOUT, why.to_string(), "whether it holds the pool's address is not known")
            }
        }
    }
}

/// What the ledger owes or has on its way; `None` when there is no ledger yet.
fn owed(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Option<i128>, String> {
    let folder = folder.join("ledger");
    if !folder.is_dir() {
        return Ok(None);
    }
    let reader = millpond_ledger::Reader::open(Arc::clone(disk), &folder).map_err(|why| why.to_string())?;
    let (book, _) = reader.replay().map_err(|why| why.to_string())?;
    let totals = book.totals();
    Ok(Some(totals.payable.saturating_add(totals.in_flight)))
}

/// How long the disk will do at the pace of a pool's journal; `None` when it has none, or does not grow.
#[must_use]
pub fn disk_days(disk: &Arc<dyn Disk>, folder: &Path, free: u64) -> Option<u64> {
    let view = View::open(Arc::clone(disk), &folder.join("journal"), millpond_journal::FORMAT).ok()?;
    Forecast::of(&view, UnixMillis::now(), free).days_left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Component;
    use millpond_types::Digest;

    fn wanted(points: &[i64], reserve: u64) -> Wanted {
        let component =
            Component { name: "flat-fee".to_owned(), digest: Digest::default(), bytes: Arc::from(&b""[..]) };
        let fee = |points: &i64| WantedFee {
            component: component.clone(),
            settings: vec![("basis_points".to_owned(), Setting::Int(*points))],
            recipients: Vec::new(),
            to_reserve: true,
            work_shift: None,
            fractions: false,
        };
        Wanted {
            scheme: component.clone(),
            scheme_settings: Settings::new(),
            fees: points.iter().map(fee).collect(),
            reserve: Amount(reserve),
            direct: false,
            planned: false,
            run_off: None,
            notice: std::time::Duration::ZERO,
        }
    }

    fn told(wanted: &Wanted, reward: u64) -> Option<(Health, String, String)> {
        let mut findings = Findings::of("btc");
        reserve(wanted, Amount(reward), &mut findings);
        findings.all.pop().map(|found| (found.health, found.text, found.remedy))
    }

    #[test]
    fn a_reserve_is_told_with_how_likely_it_is_spent() {
        let (health, text, remedy) = told(&wanted(&[500], 29_957), 1_000).unwrap();
        assert_eq!(health, Health::Warning);
        assert!(text.contains("5.00 %") && text.contains("4.505 %"), "{text}");
        assert!(remedy.starts_with("for 1 % it takes 44.5 times"), "{remedy}");
        assert_eq!(told(&wanted(&[500], 100_000), 1_000).unwrap().0, Health::Good);
        let (health, text, remedy) = told(&wanted(&[], 100_000), 1_000).unwrap();
        assert!(health == Health::Warning && text.contains("100.000 %"), "{text}");
        assert!(remedy.starts_with("without a fee"), "{remedy}");
        // Two policies take together what the second leaves.
        let (_, text, _) = told(&wanted(&[1_000, 1_000], 100_000), 1_000).unwrap();
        assert!(text.contains("19.00 %"), "{text}");
        // A policy that takes less of some says nothing of the whole, nor one that ends.
        let mut other = wanted(&[500], 29_957);
        other.fees[0].component.name = "fee-tiers".to_owned();
        let (health, text, _) = told(&other, 1_000).unwrap();
        assert!(health == Health::Good && text.contains("not estimated"), "{text}");
        other.fees[0].component.name = "fee-reserve".to_owned();
        assert!(told(&other, 1_000).unwrap().1.contains("4.505 %"));
        other.fees[0].settings.push(("target".to_owned(), Setting::Int(7)));
        assert!(told(&other, 1_000).unwrap().1.contains("not estimated"));
        assert!(told(&wanted(&[500], 0), 1_000).is_none() && told(&wanted(&[500], 1), 0).is_none());
    }
}
