//! Algorithms that an adapter exports: their instances stay, and what stays in them changes no result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_contracts::chain::{ChainAdapter, PowFigures};
use millpond_contracts::load_adapter;
use millpond_runtime::limits::KEPT;
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_test_guests as guest;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Bytes of an input.
const WIDTH: u32 = 80;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn loaded(wasm: &[u8]) -> Arc<dyn ChainAdapter> {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    load_adapter(&SANDBOX, "pow", wasm, &vec![], &sink).unwrap()
}

/// Inputs that begin with these bytes.
fn inputs(first: &[u8]) -> Vec<u8> {
    first.iter().flat_map(|byte| std::iter::once(*byte).chain(std::iter::repeat_n(0x5a, 79))).collect()
}

fn hash(adapter: &dyn ChainAdapter, key: &[u8], first: &[u8]) -> Result<Vec<u8>, String> {
    let done = adapter.pow("own", key, WIDTH, &inputs(first));
    done.map(|done| done.value).map_err(|error| error.to_string())
}

/// Copies the first 32 bytes of each input.
const FIRST_32: &str = "(local $out i32) (local.set $out (i32.const 2097152))
    (loop $next
      (memory.copy (local.get $out) (i32.add (local.get 5) (local.get 7)) (i32.const 32))
      (local.set $out (i32.add (local.get $out) (i32.const 32)))
      (local.set 7 (i32.add (local.get 7) (local.get 4)))
      (br_if $next (i32.lt_u (local.get 7) (local.get 6))))";

/// Counts the calls of this instance in memory.
const COUNT: &str = "(i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))";

fn own(prepare: &str, run: &str) -> Arc<dyn ChainAdapter> {
    loaded(&guest::adapter_with_pow("own", prepare, run))
}

fn sha256(input: &[u8]) -> [u8; 32] {
    static ALGORITHMS: LazyLock<Algorithms> = LazyLock::new(Algorithms::native);
    ALGORITHMS.hash("sha256", input).unwrap().try_into().unwrap()
}

#[test]
fn a_kept_instance_comes_to_what_a_new_one_does_for_every_key_and_over_its_replacement() {
    let adapter = loaded(&guest::spun_adapter());
    // Five keys, where an instance has room for four.
    let keys: Vec<[u8; 32]> = (0..5).map(|n| [n; 32]).collect();
    let tables: Vec<_> = keys.iter().map(|key| guest::spun_table(sha256, key)).collect();
    for round in 0..12_u8 {
        for (key, table) in keys.iter().zip(&tables) {
            let first = [round, round ^ 0x80, 7];
            let expected: Vec<u8> =
                inputs(&first).chunks(80).flat_map(|input| guest::spun(sha256, table, input)).collect();
            let done = adapter.pow(guest::SPUN, key, WIDTH, &inputs(&first)).unwrap();
            assert!(done.value == expected, "round {round}, key {}", key[0]);
        }
    }
    let figures = adapter.pow_figures();
    assert_eq!((figures.batches, figures.again, figures.stateful), (60, 0, false), "{figures:?}");
    assert!(figures.instances < 30, "most batches found an instance: {figures:?}");
}

#[test]
fn a_key_is_prepared_once_in_an_instance() {
    let adapter = own("(i32.const 0)", &format!("{FIRST_32} (i32.const 0)"));
    for _ in 0..10 {
        assert_eq!(hash(&*adapter, b"one key", b"ab").unwrap().len(), 64);
        assert_eq!(hash(&*adapter, b"another", b"ab").unwrap().len(), 64);
    }
    let expected =
        PowFigures { batches: 20, instances: 2, prepared: 4, checked: 1, idle: 1, ..PowFigures::default() };
    // The first instance served 17; the second began with the last of these, and with both keys in turn.
    assert_eq!(adapter.pow_figures(), expected);
}

#[test]
fn an_adapter_whose_hashes_depend_on_earlier_ones_is_found_out_and_gets_a_new_instance_for_each_batch() {
    let counting = format!(
        "{FIRST_32} {COUNT} (i32.store8 (i32.const 2097183) (i32.load (i32.const 16))) (i32.const 0)"
    );
    let fresh = hash(&*own("(i32.const 0)", &counting), b"", b"a").unwrap();
    assert_eq!(fresh[31], 1, "the first call of an instance");
    let adapter = own("(i32.const 0)", &counting);
    let served: Vec<_> = (0..40).map(|_| hash(&*adapter, b"", b"a").unwrap()).collect();
    assert_eq!(served[15][31], 16, "it does misbehave");
    assert!(served[16..].iter().all(|one| *one == fresh), "from the first check on");
    let figures = adapter.pow_figures();
    assert!(figures.stateful && figures.idle == 0 && figures.checked == 0, "{figures:?}");
    assert_eq!(figures.instances, 1 + 24);
}

#[test]
fn an_adapter_whose_instances_never_live_long_is_found_out_all_the_same() {
    let counting = format!(
        "{FIRST_32} {COUNT} (i32.store8 (i32.const 2097183) (i32.load (i32.const 16))) (i32.const 0)"
    );
    let adapter = own("(i32.const 0)", &counting);
    // A key for every third batch: an instance has room for four, and goes after twelve batches.
    for batch in 0..100_u8 {
        hash(&*adapter, &[batch / 3], b"a").unwrap();
    }
    let figures = adapter.pow_figures();
    assert!(figures.stateful, "{figures:?}");
}

#[test]
fn checks_become_rarer_with_each_that_agrees_and_never_end() {
    let adapter = own("(i32.const 0)", &format!("{FIRST_32} (i32.const 0)"));
    for batch in 0..1_000_u32 {
        hash(&*adapter, &(batch / 3).to_le_bytes(), b"a").unwrap();
    }
    let figures = adapter.pow_figures();
    // One in twelve needs a new instance for its key, or a few more; 917 others: 16 + 32 + 64 + 128 + 256, and 512 are too many.
    assert_eq!((figures.checked, figures.stateful), (5, false), "{figures:?}");
}

#[test]
fn a_new_instance_that_traps_is_not_held_against_the_adapter_for_ever() {
    // The first call of an instance traps where the input begins with a t.
    let run = format!(
        "{FIRST_32} {COUNT} (if (i32.and (i32.eq (i32.load (i32.const 16)) (i32.const 1))
            (i32.eq (i32.load8_u (local.get 5)) (i32.const 116))) (then (unreachable))) (i32.const 0)"
    );
    let adapter = own("(i32.const 0)", &run);
    for _ in 0..16 {
        hash(&*adapter, b"", b"a").unwrap();
    }
    let error = hash(&*adapter, b"", b"t").unwrap_err();
    assert!(error.starts_with("pow.run: trap"), "a new instance's outcome counts: {error}");
    let figures = adapter.pow_figures();
    assert_eq!((figures.instances, figures.checked, figures.stateful), (3, 0, false), "{figures:?}");
    // The check is still owed: a new instance for the first, and after sixteen batches in that one another.
    for _ in 0..17 {
        hash(&*adapter, b"", b"a").unwrap();
    }
    let figures = adapter.pow_figures();
    assert_eq!((figures.instances, figures.checked, figures.stateful), (5, 1, false), "{figures:?}");
}

#[test]
fn an_instance_that_nobody_asks_goes() {
    let adapter = own("(i32.const 0)", &format!("{FIRST_32} (i32.const 0)"));
    hash(&*adapter, b"", b"a").unwrap();
    adapter.rest(Duration::from_secs(3_600));
    assert_eq!(adapter.pow_figures().idle, 1);
    adapter.rest(Duration::ZERO);
    assert_eq!(adapter.pow_figures().idle, 0);
    assert_eq!(hash(&*adapter, b"", b"ab").unwrap().len(), 64);
}

#[test]
fn what_fails_in_an_instance_that_has_served_is_hashed_in_a_new_one() {
    // The second call of each instance traps.
    let tired = format!(
        "{FIRST_32} {COUNT} (if (i32.eq (i32.load (i32.const 16)) (i32.const 2)) (then (unreachable))) (i32.const 0)"
    );
    let adapter = own("(i32.const 0)", &tired);
    for _ in 0..8 {
        assert_eq!(hash(&*adapter, b"", b"ab").unwrap().len(), 64);
    }
    let figures = adapter.pow_figures();
    assert_eq!((figures.batches, figures.again, figures.instances), (8, 7, 8), "{figures:?}");
}

#[test]
fn a_batch_that_fails_costs_its_instance_and_no_other_batch() {
    let by_first = |byte: u8, what: &str| {
        format!("(if (i32.eq (i32.load8_u (local.get 5)) (i32.const {byte})) (then {what}))")
    };
    let picky = [
        by_first(1, "(unreachable)"),
        by_first(2, "(loop $for_ever (br $for_ever))"),
        by_first(3, "(loop $more (drop (memory.grow (i32.const 64))) (br $more))"),
        by_first(
            4,
            "(i32.store (i32.const 32) (i32.const 40)) (i32.store (i32.const 36) (i32.const 2))
             (i32.store16 (i32.const 40) (i32.const 0x6f6e)) (return (i32.const 32))",
        ),
        format!("{FIRST_32} (i32.const 0)"),
    ]
    .join(" ")
    .replace("(local $out i32)", "");
    let adapter = own("(i32.const 0)", &format!("(local $out i32) {picky}"));
    for (byte, words) in [(1, "pow.run: trap"), (2, "pow.run: out of "), (3, "pow.run: out of memory")] {
        let error = hash(&*adapter, b"", &[byte]).unwrap_err();
        assert!(error.starts_with(words), "{error}");
        assert_eq!(hash(&*adapter, b"", b"ab").unwrap().len(), 64, "after {error}");
    }
    assert_eq!(hash(&*adapter, b"", &[4]).unwrap_err(), "pow.run: the plugin says: no");
    assert_eq!(hash(&*adapter, b"", b"ab").unwrap().len(), 64);
}

#[test]
fn a_key_that_is_refused_is_no_context() {
    let refusing = "(if (i32.eq (i32.load8_u (local.get 2)) (i32.const 1))
        (then (i32.store (i32.const 32) (i32.const 40)) (i32.store (i32.const 36) (i32.const 2))
              (i32.store16 (i32.const 40) (i32.const 0x6f6e)) (return (i32.const 32))))
        (i32.const 0)";
    let adapter = own(refusing, &format!("{FIRST_32} (i32.const 0)"));
    for _ in 0..3 {
        assert_eq!(hash(&*adapter, &[1], b"a").unwrap_err(), "pow.prepare: the plugin says: no");
        assert_eq!(hash(&*adapter, &[2], b"a").unwrap().len(), 32);
    }
}

#[test]
fn threads_that_hash_at_once_have_an_instance_each_and_few_stay() {
    // Of its own: so many that are kept would leave the other tests none.
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let adapter = load_adapter(&sandbox, "pow", &guest::spun_adapter(), &vec![], &sink).unwrap();
    let key = [9; 32];
    let table = guest::spun_table(sha256, &key);
    std::thread::scope(|scope| {
        for thread in 0..6_u8 {
            let (adapter, table) = (&adapter, &table);
            scope.spawn(move || {
                for round in 0..20 {
                    let input = inputs(&[thread, round]);
                    let expected: Vec<u8> =
                        input.chunks(80).flat_map(|input| guest::spun(sha256, table, input)).collect();
                    assert_eq!(adapter.pow(guest::SPUN, &key, WIDTH, &input).unwrap().value, expected);
                }
            });
        }
    });
    let figures = adapter.pow_figures();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(figures.idle >= 1 && figures.idle <= cores.min(KEPT as usize), "{figures:?}");
}

#[test]
fn instances_that_are_kept_leave_room_for_other_calls_and_go_with_their_adapter() {
    let run = format!("{FIRST_32} (i32.const 0)");
    let wasm = guest::adapter_with_pow("own", "(i32.const 0)", &run);
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let load = || load_adapter(&sandbox, "pow", &wasm, &vec![], &sink).unwrap();
    let many: Vec<_> = (0..KEPT + 3).map(|_| load()).collect();
    for adapter in &many {
        hash(&**adapter, b"", b"ab").unwrap();
    }
    let kept = |adapters: &[Arc<dyn ChainAdapter>]| {
        adapters.iter().map(|adapter| adapter.pow_figures().idle).sum::<usize>()
    };
    assert_eq!(kept(&many), KEPT as usize, "beyond them, an instance goes when its batch is done");
    drop(many);
    let next = [load()];
    hash(&*next[0], b"", b"ab").unwrap();
    assert_eq!(kept(&next), 1);
}
