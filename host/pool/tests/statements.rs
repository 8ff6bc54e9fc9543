//! What miners can check of a running pool: incomes, an orphan, a payment, a restart; then every statement of every miner is
//! held against the pool's key, by the library, by the second implementation and by the command, and a pool that lies is caught.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::DevChain;
use millpond_ledger::{Entry, IncomeStatus, Ledger, Record};
use millpond_pool::proofs::{FOLDER, HELD, KEY, NoStatement, RESUME, Resume, public_key};
use millpond_pool::receipts::NoReceipts;
use millpond_pool::{Edge, Edges, Pool};
use millpond_proofs::{
    Against, Commitment, Compared, Contradiction, Division, Evidence, HeadBody, HeadKind, History,
    KeysInForce, Leaf, Measure, NotLookedAt, Proven, PublicKey, Shown, SignedHead, SignedReceipt, Signer,
    Slices, Span, Statement, StatementError, TreeKind, What, build, compare, verify, verify_all,
};
use millpond_types::{Digest, UnixMillis};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain};
use support::{check_replay, process, start, stranger, until};

const REST: &str = r#"
[pool.payout]
scheme = "pplns"
minimum = 1000
[pool.fee]
settings = { basis_points = 100 }
[[pool.fee.recipient]]
name = "operator"
[pool.wallet]
[pool.settlement]
schedule = "interval 1s"
confirmations = 1
"#;

/// A block takes about 65,000 hashes, a share 4,000.
async fn rig() -> (DevChain, String) {
    let chain = dev_chain(0x1f00_ffff).await;
    let text = OnDevChain { pays_to: None, difficulty: "0.000001", chain: "", rest: REST }.on(&chain);
    (chain, text)
}

async fn client(pool: &Pool, address: &str) -> Client {
    Client::connect(pool.addresses()[0], address, "sha256d").await.unwrap()
}

/// Shares of one, and a block of his if he is to find one.
async fn mine(chain: &DevChain, client: &mut Client, shares: u32, block: bool) {
    let job = client.job_on(&chain.tip()).await;
    for _ in 0..shares {
        let share = client.find(&job, 0, Want::Mere);
        assert_eq!(client.submit(&share).await["result"], json!(true));
    }
    if block {
        let share = client.find(&job, 0, Want::Block);
        assert_eq!(client.submit(&share).await["result"], json!(true));
    }
}

fn records(ledger: &Ledger) -> Vec<Record> {
    let mut records = Vec::new();
    ledger
        .reader()
        .for_each_record(&mut |record, _| {
            records.push(record.clone());
            Ok(())
        })
        .unwrap();
    records
}

fn statuses(pool: &Pool) -> Vec<IncomeStatus> {
    pool.ledger().book().incomes().map(|(_, income)| income.status).collect()
}

/// Waits until a head has all that the ledger has of divisions and payments.
async fn signed(pool: &Pool, entries: u64) {
    until(pool, "a head over all entries", || pool.head(None).is_some_and(|head| head.body.size >= entries))
        .await;
}

/// Every statement of these miners, by miner and record of the ledger.
fn statements(pool: &Pool, miners: &[String]) -> BTreeMap<(String, u64), Statement> {
    let mut found = BTreeMap::new();
    for record in records(pool.ledger()) {
        for miner in miners {
            match pool.statement_of(miner, record.seq) {
                Ok(statement) => {
                    found.insert((miner.clone(), record.seq), statement);
                }
                Err(NoStatement::NoEntry | NoStatement::NotInIt) => {}
                Err(why) => panic!("{miner}, {}: {why}", record.seq),
            }
        }
    }
    found
}

fn good(statement: &Statement, key: PublicKey, heads: &[SignedHead]) -> Proven {
    let address = statement.address.clone();
    let against = Against { key: Some(key), address: Some(&address), heads, ..Against::default() };
    // As a miner reads it.
    let read = Statement::read(&serde_json::to_vec(statement).unwrap()).unwrap();
    verify(&read, &against).unwrap_or_else(|why| panic!("{why}: {statement:#?}"))
}

/// What the second implementation says, where there is Python; and the command, where it was built.
fn others_agree(folder: &Path, statement: &Statement, key: PublicKey, is_good: bool) {
    let file = folder.join("statement.json");
    std::fs::write(&file, serde_json::to_vec(statement).unwrap()).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proofs/verify.py");
    if let Ok(done) = Command::new("python3").arg(script).arg(&file).arg(key.to_string()).output() {
        assert_eq!(done.status.success(), is_good, "{}", String::from_utf8_lossy(&done.stderr));
    }
    let built = std::env::current_exe().unwrap();
    let command = built.ancestors().nth(2).unwrap().join("millpond");
    let mut command = Command::new(command);
    command.current_dir(folder).args(["verify-statement", "statement.json", "--key", &key.to_string()]);
    if let Ok(done) = command.output() {
        assert_eq!(
            done.status.code(),
            Some(i32::from(!is_good)),
            "{}",
            String::from_utf8_lossy(&done.stdout)
        );
    }
}

fn kind(statement: &Statement) -> &'static str {
    match &statement.commitment.what {
        What::Income(_) => "income",
        What::Accrued(_) => "accrued",
        What::Payment(_) => "payment",
        What::Reversed(_) => "reversed",
        What::Kept(_) => "kept",
        What::Reinstated(_) => "reinstated",
        What::Undone(_) => "undone",
    }
}

fn division(statement: &Statement) -> &Division {
    statement.commitment.division().unwrap()
}

/// A pool with two miners' income that is paid, one that the chain took back, and one by the first alone.
async fn pool_with_history(
    chain: &DevChain,
    process: &millpond_pool::Process,
    text: &str,
    miners: &[String],
) -> Pool {
    let pool = start(process, text).await;
    let mut clients = [client(&pool, &miners[0]).await, client(&pool, &miners[1]).await];
    mine(chain, &mut clients[1], 3, false).await;
    mine(chain, &mut clients[0], 5, true).await;
    until(&pool, "the first income", || statuses(&pool) == [IncomeStatus::Immature]).await;
    chain.generate(4).unwrap();
    until(&pool, "its maturity", || statuses(&pool) == [IncomeStatus::Matured]).await;
    until(&pool, "a payment", || pool.payments(9).iter().any(|payment| payment.state == "sent")).await;
    chain.generate(1).unwrap();
    until(&pool, "its settlement", || pool.payments(9).iter().any(|payment| payment.state == "settled"))
        .await;
    let before = chain.tip();
    mine(chain, &mut clients[1], 1, true).await;
    until(&pool, "the second income", || statuses(&pool).len() == 2).await;
    chain.mine_on(&before, 4).unwrap();
    let lost = || statuses(&pool).iter().any(|status| matches!(status, IncomeStatus::Reversed(_)));
    until(&pool, "its loss", lost).await;
    mine(chain, &mut clients[0], 2, true).await;
    until(&pool, "the third income", || statuses(&pool).len() == 3).await;
    pool
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_statement_of_every_miner_holds_against_the_key_and_says_what_the_ledger_says() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, text) = rig().await;
    let process = process(folder.path());
    let miners: Vec<String> = (1..=2).map(|number| stranger("bcrt", number).0).collect();
    let pool = pool_with_history(&chain, &process, &text, &miners).await;
    // Three divisions, a payment, a loss.
    signed(&pool, 5).await;
    let key = public_key(process.disk.as_ref(), &folder.path().join("dev")).unwrap().unwrap();
    let heads = pool.heads(None, 100);
    let found = statements(&pool, &miners);
    let mut kinds: Vec<_> =
        found.iter().filter(|((miner, _), _)| *miner == miners[0]).map(|(_, it)| kind(it)).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["income", "income", "income", "payment", "reversed"]);
    for statement in found.values() {
        let proven = good(statement, key, &heads);
        let looked_at = |what: &NotLookedAt| match what {
            NotLookedAt::Nobody => kind(statement) == "reversed",
            what => what.to_string().contains("receipts"),
        };
        assert!(proven.not_looked_at.iter().all(looked_at), "{proven:?}");
        others_agree(folder.path(), statement, key, true);
    }
    let all: Vec<Statement> = found.values().cloned().collect();
    let against = Against { key: Some(key), heads: &heads, ..Against::default() };
    for (statement, told) in all.iter().zip(verify_all(&all, &against)) {
        let lost = matches!(told, Err(StatementError::Superseded { .. }));
        assert_eq!(lost, kind(statement) == "income" && division(statement).number == 2, "{told:?}");
    }

    // What is proven is what the ledger and the journal say.
    for record in records(pool.ledger()) {
        let of = |miner: &String| found.get(&(miner.clone(), record.seq));
        match &record.entry {
            Entry::IncomeAllocated(income) => {
                let shown: Vec<&Statement> = miners.iter().filter_map(of).collect();
                assert_eq!(shown.len(), 2);
                for statement in shown {
                    let owner = statement.owner.parse().unwrap();
                    let credit = statement.credit.as_ref().unwrap();
                    assert_eq!(credit.value, u128::from(income.parts.of(&owner).0));
                    let said = division(statement);
                    assert_eq!(said.credits.sum, u128::from(income.gross().unwrap().0));
                    assert_eq!((said.amount, said.end.share), (income.amount, income.end));
                    assert_eq!(said.scheme.name, "pplns");
                    let counted = said.windows[0].counted.as_ref().unwrap();
                    assert!(counted.first.0 >= 1 && counted.first <= said.end.share);
                }
            }
            Entry::PaymentSettled { rows, .. } => {
                let paid: u128 = rows.iter().map(|row| u128::from(row.sent.0 + row.charged.0)).sum();
                let mut shown = 0;
                for statement in miners.iter().filter_map(of) {
                    let What::Payment(payment) = &statement.commitment.what else { panic!("{statement:?}") };
                    assert_eq!((u128::from(payment.amount.0), payment.rows.sum), (paid, paid));
                    shown += statement.credit.as_ref().unwrap().value;
                }
                assert_eq!(shown, paid, "both miners are shown all of it");
            }
            Entry::Reversed { .. } => assert!(miners.iter().all(|miner| of(miner).is_some())),
            _ => assert!(miners.iter().all(|miner| of(miner).is_none()), "{record:?}"),
        }
    }
    let (stranger, _) = stranger("bcrt", 9);
    assert!(matches!(pool.statement_of(&stranger, 1), Err(NoStatement::Stranger)));

    // The chain of heads is whole, and each continues those before it.
    assert!(heads.len() >= 2);
    for pair in heads.windows(2) {
        let [later, earlier] = pair else { unreachable!() };
        let proof = pool.consistency(earlier.body.size, later.body.size).unwrap();
        assert_eq!(compare(earlier, later, Some(&proof)), Ok(Compared::Continues));
    }
    assert_eq!(pool.head(Some(0)).unwrap().body.size, 0);
    assert!(pool.head(Some(heads[0].body.number + 1)).is_none());
    assert!(pool.consistency(0, heads[0].body.size + 1).is_none());

    // After a restart the same statements are made of what was kept, and the heads go on.
    pool.stop().await;
    drop(pool);
    check_replay(&process, &folder.path().join("dev"));
    let pool = start(&process, &text).await;
    assert_eq!(pool.heads(Some(heads[0].body.number + 1), 100), heads);
    for ((miner, seq), before) in &found {
        let again = pool.statement_of(miner, *seq).unwrap();
        assert_eq!(
            (&again.commitment, &again.credit, &again.work),
            (&before.commitment, &before.credit, &before.work)
        );
        good(&again, key, &heads);
    }
    pool.stop().await;
}

/// A window in slices is committed as it was declared, and both implementations read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_counted_in_slices_is_shown_beside_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, text) = rig().await;
    let text = text.replace("scheme = \"pplns\"", "scheme = \"slice\"");
    let process = process(folder.path());
    let miners: Vec<String> = (1..=2).map(|number| stranger("bcrt", number).0).collect();
    let pool = start(&process, &text).await;
    let mut clients = [client(&pool, &miners[0]).await, client(&pool, &miners[1]).await];
    mine(&chain, &mut clients[1], 3, false).await;
    mine(&chain, &mut clients[0], 5, true).await;
    until(&pool, "the income", || statuses(&pool) == [IncomeStatus::Immature]).await;
    signed(&pool, 1).await;
    let key = public_key(process.disk.as_ref(), &folder.path().join("dev")).unwrap().unwrap();
    let found = statements(&pool, &miners);
    assert_eq!(found.len(), 2);
    for statement in found.values() {
        good(statement, key, &pool.heads(None, 100));
        others_agree(folder.path(), statement, key, true);
        let windows = &division(statement).windows;
        assert_eq!((&windows[0].span, windows[0].measure), (&Span::Work(8000), Measure::Work));
        let slices = Span::Slices(Slices { thousandths: 8000, step: 0 });
        assert_eq!((&windows[1].span, windows[1].measure), (&slices, Measure::FeeValue));
        // No transactions, no fees: what is by fees is by work.
        assert_eq!(statement.work[1].value, statement.work[0].value << 32);
        // Another step is another window, and no commitment of the pool's.
        let mut forged = statement.clone();
        let What::Income(division) = &mut forged.commitment.what else { panic!("{forged:?}") };
        division.windows[1].span = Span::Slices(Slices { thousandths: 8000, step: 1 });
        others_agree(folder.path(), &forged, key, false);
    }
    pool.stop().await;
}

/// Who has worked under the scheme of before alone is paid by it, and sees for what: by its window, or by what it keeps of him,
/// where both see the work that it was given since.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_statement_of_an_income_that_two_schemes_divide_shows_the_windows_of_both() {
    for (name, in_cells) in [("pplns", false), ("shifts", true)] {
        let folder = tempfile::tempdir().unwrap();
        let (chain, text) = rig().await;
        let text = text.replace("scheme = \"pplns\"", &format!("scheme = \"{name}\""));
        let process = process(folder.path());
        let miners: Vec<String> = (1..=2).map(|number| stranger("bcrt", number).0).collect();
        let pool = Arc::new(start(&process, &text).await);
        let mut clients = [client(&pool, &miners[0]).await, client(&pool, &miners[1]).await];
        mine(&chain, &mut clients[1], 3, false).await;
        let swapped = Arc::clone(&pool);
        let swap = move || swapped.swap(millpond_admin::Role::Scheme, "solo", "", "test");
        tokio::task::spawn_blocking(swap).await.unwrap().unwrap();
        let said = pool.view().policy.next.unwrap().takes_over;
        assert!(said.contains("pays by its own rule") && said.contains("work of before"), "{said}");
        for blocks in 1..=2 {
            mine(&chain, &mut clients[0], 2, true).await;
            until(&pool, "an income", || statuses(&pool).len() == blocks).await;
        }
        let divided =
            |record: &Record| matches!(record.entry, Entry::IncomeAllocated(_) | Entry::Accrued { .. });
        signed(&pool, records(pool.ledger()).iter().filter(|record| divided(record)).count() as u64).await;
        let key = public_key(process.disk.as_ref(), &folder.path().join("dev")).unwrap().unwrap();
        let heads = pool.heads(None, 100);
        let policy = pool.view().policy;
        let (boundary, follows) = (policy.from, policy.follows.unwrap());
        assert_eq!((follows.scheme.name.as_str(), follows.up_to), (name, boundary));
        assert_eq!(follows.incomes_left, 999, "one of a thousand is divided");
        let of = |miner: usize| {
            let mut found: Vec<Statement> = statements(&pool, &miners[miner..=miner]).into_values().collect();
            found.retain(|statement| kind(statement) == "income");
            found.sort_by_key(|statement| division(statement).number);
            found
        };
        let (found, of_other) = (of(1), of(0));
        let [alone, both] = &found[..] else { panic!("{found:?}") };
        let own = usize::from(!in_cells);
        assert_eq!((division(alone).scheme.name.as_str(), division(alone).windows.len()), (name, own));
        let said = division(both);
        assert_eq!((said.scheme.name.as_str(), said.windows.len()), ("solo", 2));
        assert!(said.windows[0].counted.is_none(), "the finder's own");
        let first = said.windows[1].counted.as_ref().unwrap().first.0;
        assert!(both.credit.as_ref().unwrap().value > 0 && boundary < said.end.share.0, "{both:?}");
        if in_cells {
            // Its own work of before is in its cells; it was given what came behind.
            assert_eq!((&said.windows[1].span, first), (&Span::Batch, boundary + 1));
            let work: u128 = of_other.last().unwrap().work.iter().map(|leaf| leaf.value).sum();
            assert!(both.work.iter().all(|leaf| leaf.value == 0) && work > 0, "{both:?}");
            assert_ne!(said.state_before, said.state_after);
        } else {
            let [work] = &both.work[..] else { panic!("{both:?}") };
            assert!(first <= boundary && work.value > 0, "{both:?}");
        }
        for statement in found.iter().chain(&of_other) {
            good(statement, key, &heads);
            others_agree(folder.path(), statement, key, true);
        }
        pool.stop().await;
        drop(pool);
        check_replay(&process, &folder.path().join("dev"));
    }
}

/// What a window of unpaid shares counted is committed by the list as it was before its income, and both implementations read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_that_are_paid_once_are_counted_in_one_statement() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, text) = rig().await;
    let settings = "scheme = \"cppsrb\"\nsettings = { surplus = \"carry\" }";
    let text = text.replace("scheme = \"pplns\"", settings);
    let process = process(folder.path());
    let miners: Vec<String> = (1..=2).map(|number| stranger("bcrt", number).0).collect();
    let pool = start(&process, &text).await;
    let mut clients = [client(&pool, &miners[0]).await, client(&pool, &miners[1]).await];
    mine(&chain, &mut clients[1], 3, false).await;
    mine(&chain, &mut clients[0], 5, true).await;
    until(&pool, "the first income", || statuses(&pool).len() == 1).await;
    mine(&chain, &mut clients[1], 2, false).await;
    mine(&chain, &mut clients[0], 1, true).await;
    until(&pool, "the second income", || statuses(&pool).len() == 2).await;
    signed(&pool, 2).await;
    let key = public_key(process.disk.as_ref(), &folder.path().join("dev")).unwrap().unwrap();
    let found = statements(&pool, &miners);
    let mut counted = BTreeMap::new();
    for ((_, seq), statement) in &found {
        good(statement, key, &pool.heads(None, 100));
        others_agree(folder.path(), statement, key, true);
        let division = division(statement);
        let window = &division.windows[0];
        assert_eq!((&window.span, window.measure), (&Span::Unpaid(100_000_000), Measure::Value));
        let it = window.counted.as_ref().unwrap();
        counted.insert(
            *seq,
            (it.first.0, division.end.share.0, it.work.sum, u128::from(division.amount.0) << 32),
        );
        // Another reach is another window, and no commitment of the pool's.
        let mut forged = statement.clone();
        let What::Income(division) = &mut forged.commitment.what else { panic!("{forged:?}") };
        division.windows[0].span = Span::Unpaid(100_000_001);
        others_agree(folder.path(), &forged, key, false);
    }
    let [first, second] = counted.values().copied().collect::<Vec<_>>().try_into().unwrap();
    // The first block paid all nine shares and left something over: the second one's window begins behind them.
    assert!(first.2 < first.3 && second.2 < second.3, "{first:?} {second:?}");
    assert_eq!((first.0, second.0), (1, first.1 + 1));
    pool.stop().await;
}

/// The leaves of a pool's history, each known from a statement of somebody.
fn history(found: &BTreeMap<(String, u64), Statement>) -> Vec<Digest> {
    let leaves: BTreeMap<u64, Digest> =
        found.values().map(|statement| (statement.entry.index, statement.entry().leaf())).collect();
    leaves.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_that_drops_a_miner_shows_a_negative_part_or_two_heads_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, text) = rig().await;
    let process = process(folder.path());
    let miners: Vec<String> = (1..=2).map(|number| stranger("bcrt", number).0).collect();
    let pool = pool_with_history(&chain, &process, &text, &miners).await;
    signed(&pool, 5).await;
    let found = statements(&pool, &miners);
    let key = public_key(process.disk.as_ref(), &folder.path().join("dev")).unwrap().unwrap();
    let newest = pool.head(None).unwrap();
    pool.stop().await;
    let leaves = history(&found);
    assert_eq!(leaves.iter().copied().collect::<History>().root(), newest.body.root);
    let honest = found.iter().find(|((miner, _), it)| *miner == miners[1] && kind(it) == "income").unwrap().1;
    let other = &found[&(miners[0].clone(), honest.entry.ledger_seq)];

    // A negative part is no number, and a sum that wraps is none either.
    let mut negative = serde_json::to_value(honest).unwrap();
    negative["credit"]["value"] = json!("-5");
    let error = Statement::read(negative.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("credit.value"), "{error}");
    let mut wraps = honest.clone();
    wraps.credit.as_mut().unwrap().path.siblings[0].sum = u128::MAX;
    let code = |statement: &Statement| {
        let against = Against { key: Some(key), ..Against::default() };
        verify(statement, &against).map_or_else(|why| why.code(), |_| "good")
    };
    assert_eq!(code(&wraps), "sum-overflow");
    others_agree(folder.path(), &wraps, key, false);

    // Nobody is shown another's leaf.
    let borrowed =
        Statement { address: honest.address.clone(), owner: honest.owner.clone(), ..other.clone() };
    assert_eq!(code(&borrowed), "path");

    // The pool leaves the second miner out of the tree: the sum is no longer the reward.
    let seed: [u8; 32] = std::fs::read(folder.path().join("dev").join(KEY)).unwrap().try_into().unwrap();
    let signer = Signer::new(&seed);
    let forge = |amount: u128| {
        let commitment = &other.commitment;
        let id = commitment.tree(TreeKind::Credits, 0);
        let credit = other.credit.clone().unwrap();
        let leaf = Leaf { value: amount, ..other.credit_leaf(&credit) };
        let tree = build(&id, [&leaf]).unwrap();
        let mut said = division(other).clone();
        said.credits = tree.root();
        let what = What::Income(said);
        let commitment =
            Commitment::new(commitment.pool, commitment.subject.clone(), commitment.division, what);
        let mut forged = Statement { commitment, ..other.clone() };
        let credit = forged.credit.as_mut().unwrap();
        (credit.value, credit.path) = (amount, tree.path(&leaf.node(&id)).unwrap());
        let mut leaves = leaves.clone();
        let at = usize::try_from(forged.entry.index).unwrap();
        leaves[at] = forged.entry().leaf();
        let history: History = leaves.into_iter().collect();
        forged.entry.inclusion = history.inclusion(forged.entry.index, history.size()).unwrap();
        let body = HeadBody { root: history.root(), ..newest.body.clone() };
        forged.head = SignedHead::sign(body, &signer);
        forged
    };
    let reward = division(other).credits.sum;
    let dropped = forge(other.credit.as_ref().unwrap().value);
    assert_eq!(code(&dropped), "not-the-reward");
    others_agree(folder.path(), &dropped, key, false);
    // It gives his part to the first: alone that is good, and beside what the second was shown it is evidence.
    let given = forge(reward);
    assert_eq!(code(&given), "good");
    let against = Against { key: Some(key), ..Against::default() };
    let told = verify_all(&[honest.clone(), given.clone()], &against);
    assert!(
        told.iter()
            .all(|told| matches!(told, Err(StatementError::Heads(_) | StatementError::TwoHistories { .. }))),
        "{told:?}"
    );
    let evidence = Evidence::between(honest, &given).unwrap();
    let read = Evidence::read(&serde_json::to_vec(&evidence).unwrap()).unwrap();
    let keys = KeysInForce::new(key, &newest.body.pool, &[]);
    let number = newest.body.number;
    assert_eq!(read.verify(&keys), Ok(Shown::Heads(Contradiction::TwoHeads { number })));
    let stranger = KeysInForce::new(Signer::new(&[9; 32]).key(), &newest.body.pool, &[]);
    assert!(read.verify(&stranger).is_err(), "who does not know the key is not convinced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_between_entry_evidence_history_and_head_costs_no_statement() {
    for edge in [Edge::Divided, Edge::Evidenced, Edge::Committed, Edge::HeadKept] {
        let folder = tempfile::tempdir().unwrap();
        let (chain, text) = rig().await;
        let mut process = process(folder.path());
        let (miner, _) = stranger("bcrt", 1);
        let pool = start(&process, &text).await;
        signed(&pool, 0).await;
        pool.stop().await;
        drop(pool);
        // The world stands still there; what is on the disk then is what a start finds.
        let crashed = tempfile::tempdir().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let (from, to, told) = (folder.path().to_owned(), crashed.path().to_owned(), Arc::clone(&stopped));
        process.edges = Edges::stop_at(edge, 1, move |_| {
            copy(&from, &to);
            told.store(true, Ordering::SeqCst);
        });
        let pool = start(&process, &text).await;
        let mut one = client(&pool, &miner).await;
        mine(&chain, &mut one, 1, true).await;
        until(&pool, "the edge", || stopped.load(Ordering::SeqCst)).await;
        pool.stop().await;
        drop(pool);

        let process = support::process(crashed.path());
        let pool = start(&process, &text).await;
        signed(&pool, 1).await;
        let seq = records(pool.ledger())
            .iter()
            .find(|record| matches!(record.entry, Entry::IncomeAllocated(_)))
            .unwrap()
            .seq;
        let key = public_key(process.disk.as_ref(), &crashed.path().join("dev")).unwrap().unwrap();
        let statement = pool.statement_of(&miner, seq).unwrap();
        good(&statement, key, &pool.heads(None, 100));
        assert_eq!(statement.entry.index, 0, "{edge}: the entry is committed once");
        assert_eq!(pool.head(None).unwrap().body.size, 1, "{edge}");
        pool.stop().await;
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            // What is renamed away meanwhile was not durable under this name.
            let _ = std::fs::copy(entry.path(), &to);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restored_pool_signs_nothing_until_it_knows_what_was_published_and_then_declares_its_loss() {
    let (folder, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, text) = rig().await;
    let (first, second) = (process(folder.path()), process(older.path()));
    let (miner, _) = stranger("bcrt", 1);
    let pool = start(&first, &text).await;
    let mut one = client(&pool, &miner).await;
    mine(&chain, &mut one, 1, true).await;
    signed(&pool, 1).await;
    pool.stop().await;
    drop(pool);
    copy(folder.path(), older.path());
    let pool = start(&first, &text).await;
    let mut one = client(&pool, &miner).await;
    mine(&chain, &mut one, 1, true).await;
    signed(&pool, 2).await;
    let published = pool.heads(None, 100);
    let seq = records(pool.ledger())
        .iter()
        .rev()
        .find(|it| matches!(it.entry, Entry::IncomeAllocated(_)))
        .unwrap()
        .seq;
    let lost = pool.statement_of(&miner, seq).unwrap();
    pool.stop().await;
    drop(pool);

    // As a restore leaves it.
    std::fs::write(older.path().join("dev").join(FOLDER).join(HELD), b"").unwrap();
    let pool = start(&second, &text).await;
    let newest = pool.head(None).unwrap();
    assert!(newest.body.number < published[0].body.number);
    until(&pool, "the operator is told", || pool.alarms().iter().any(|it| it.about == "statements")).await;
    let mut one = client(&pool, &miner).await;
    mine(&chain, &mut one, 2, true).await;
    until(&pool, "another second income", || statuses(&pool).len() == 2).await;
    assert_eq!(pool.head(None).unwrap(), newest, "nothing is signed");
    let resume = older.path().join("dev").join(FOLDER).join(RESUME);
    let order = |newest: &SignedHead| {
        let order = Resume { newest: newest.clone(), nothing_published_since: false };
        std::fs::write(&resume, serde_json::to_vec(&order).unwrap()).unwrap();
    };
    // Its own head is not the newest.
    order(&newest);
    let refused = || pool.alarms().iter().any(|it| it.about == "statements" && it.text.contains(RESUME));
    until(&pool, "the pool's own head is refused", refused).await;
    assert!(pool.heads_are_held() && pool.head(None).unwrap() == newest);
    pool.stop().await;
    drop(pool);
    // The newest head that was published, from whoever kept it.
    order(&published[0]);
    let pool = start(&second, &text).await;
    signed(&pool, 2).await;
    until(&pool, "the alarm is over", || pool.alarms().iter().all(|it| it.about != "statements")).await;
    let key = public_key(second.disk.as_ref(), &older.path().join("dev")).unwrap().unwrap();
    let mut heads = pool.heads(None, 100);
    let restored = heads.iter().find(|head| matches!(head.body.kind, HeadKind::Restored(_))).unwrap().clone();
    assert_eq!(restored.body.number, published[0].body.number + 1);
    assert_eq!(compare(&published[0], &restored, None), Ok(Compared::LossDeclared));
    heads.extend(published);
    let again = records(pool.ledger())
        .iter()
        .rev()
        .find(|it| matches!(it.entry, Entry::IncomeAllocated(_)))
        .unwrap()
        .seq;
    let statement = pool.statement_of(&miner, again).unwrap();
    assert_eq!((statement.entry.restarts, statement.entry.index), (1, 1));
    good(&statement, key, &heads);
    good(&lost, key, &heads);
    let told: Value = serde_json::to_value(&restored.body.kind).unwrap();
    assert_eq!(told["restored"]["lost_from"], json!("1"));
    assert!(!pool.heads_are_held());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_without_its_heads_signs_no_second_head_0_and_a_lost_key_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_chain, text) = rig().await;
    let process = process(folder.path());
    let data = folder.path().join("dev");
    let pool = start(&process, &text).await;
    signed(&pool, 0).await;
    let first = pool.head(None).unwrap();
    pool.stop().await;
    drop(pool);
    std::fs::remove_dir_all(data.join(FOLDER)).unwrap();
    std::fs::create_dir(data.join(FOLDER)).unwrap();
    std::fs::write(data.join(FOLDER).join(HELD), b"").unwrap();
    let pool = start(&process, &text).await;
    signed(&pool, 0).await;
    until(&pool, "the operator is told", || pool.alarms().iter().any(|it| it.about == KEY)).await;
    let anew = pool.head(None).unwrap();
    assert_ne!((anew.body.pool, anew.body.key), (first.body.pool, first.body.key));
    let aside = std::fs::read(data.join(format!("{KEY}.{}", first.body.key))).unwrap();
    assert_eq!(Signer::new(&aside.try_into().unwrap()).key(), first.body.key);
    pool.stop().await;
    drop(pool);
    std::fs::remove_file(data.join(KEY)).unwrap();
    let pool = start(&process, &text).await;
    assert!(pool.head(None).is_none() && !data.join(KEY).exists());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn receipts_of_a_connection_hold_against_its_miners_statement_and_show_work_that_was_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, text) = rig().await;
    let process = process(folder.path());
    let pool = start(&process, &text.replace("\"pplns\"", "\"prop\"")).await;
    let miner = stranger("bcrt", 1).0;
    let mut worker = client(&pool, &miner).await;
    let at = |seconds: u64| UnixMillis(2_000_000_000_000 + 1_000 * seconds);
    assert!(matches!(pool.receipts(&miner, at(0)), Err(NoReceipts::Stranger)));
    mine(&chain, &mut worker, 1, false).await;
    signed(&pool, 0).await;
    assert_eq!(pool.receipts(&miner, at(0)).unwrap(), [], "from now on");
    mine(&chain, &mut worker, 3, false).await;
    let first = pool.receipts(&miner, at(60)).unwrap();
    assert_eq!(first.iter().map(|receipt| receipt.body.count).collect::<Vec<_>>(), [3]);
    mine(&chain, &mut worker, 2, true).await;
    until(&pool, "the income", || statuses(&pool) == [IncomeStatus::Immature]).await;
    let receipts = pool.receipts(&miner, at(120)).unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.body.count).collect::<Vec<_>>(), [3, 3]);
    signed(&pool, 1).await;
    let found = statements(&pool, std::slice::from_ref(&miner));
    let (_, statement) = found.first_key_value().unwrap();
    let key = public_key(process.disk.as_ref(), &folder.path().join("dev")).unwrap();
    let against = Against { key, address: Some(&miner), receipts: &receipts, ..Against::default() };
    let proven = verify(statement, &against).unwrap();
    let (_, held) = proven.receipts[0];
    assert_eq!((held.inside, held.outside), (2, 0));
    let each = statement.work[0].value / 7;
    assert_eq!(
        (held.work, statement.work[0].value),
        (6 * each, 7 * each),
        "the first share came before he asked"
    );

    // A pool that counted less than it receipted: its key signed both.
    let seed: [u8; 32] = std::fs::read(folder.path().join("dev").join(KEY)).unwrap().try_into().unwrap();
    let mut more = receipts[1].body.clone();
    more.work += 2 * each;
    let more = [receipts[0].clone(), SignedReceipt::sign(more, &Signer::new(&seed))];
    let why = verify(statement, &Against { receipts: &more, ..against }).unwrap_err();
    assert_eq!(why.code(), "receipts-exceed-work");
    drop(worker);
    pool.stop().await;
}
