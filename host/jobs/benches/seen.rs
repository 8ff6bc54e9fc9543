//! What the set of accepted shares costs: entering an id, refusing one that is there, on one thread and on two at once,
//! and the memory that an id takes; beside one set of whole ids behind one lock, in the same run. Prints one JSON object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unsafe_code)] // A counting allocator can be written no other way.

use millpond_jobs::Seen;
use parking_lot::Mutex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const IDS: u64 = 1 << 20;
const PIECE: u64 = 256;

static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches an atomic number alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An id as hashes are: without any order.
fn id(i: u64) -> [u8; 32] {
    let mut id = [0; 32];
    for (j, word) in id.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let mixed = (i * 4 + j as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *word = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes();
    }
    id
}

/// Whether an id is new, and entered now.
trait Enters: Sync {
    fn enters(&self, id: [u8; 32]) -> bool;
}

impl Enters for Seen {
    fn enters(&self, id: [u8; 32]) -> bool {
        self.insert(7, id)
    }
}

impl Enters for Mutex<HashSet<[u8; 32]>> {
    fn enters(&self, id: [u8; 32]) -> bool {
        self.lock().insert(id)
    }
}

/// Nanoseconds for each id of a range: the median of many short pieces, so that a busy machine counts little.
fn each(ids: std::ops::Range<u64>, work: impl Fn([u8; 32])) -> f64 {
    let mut pieces = Vec::new();
    for from in ids.step_by(PIECE as usize) {
        let start = Instant::now();
        for i in from..from + PIECE {
            work(id(black_box(i)));
        }
        pieces.push(start.elapsed().as_secs_f64() * 1e9 / PIECE as f64);
    }
    pieces.sort_by(f64::total_cmp);
    pieces[pieces.len() / 2]
}

fn measure(name: &str, make: impl FnOnce() -> Box<dyn Enters>) -> String {
    let before = HELD.load(Ordering::Relaxed);
    let seen = make();
    let new = each(0..IDS, |id| assert!(seen.enters(id)));
    let bytes = (HELD.load(Ordering::Relaxed) - before) as f64 / IDS as f64;
    let again = |ids| each(ids, |id| assert!(!seen.enters(id)));
    let one = again(0..IDS);
    let two = std::thread::scope(|scope| {
        let again = &again;
        let threads = [0, IDS / 2].map(|from| scope.spawn(move || again(from..from + IDS / 2)));
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(0.0, f64::max)
    });
    format!(
        "{{\"set\":\"{name}\",\"insert_ns\":{new:.0},\"duplicate_ns\":{one:.0},\"duplicate_two_threads_ns\":{two:.0},\
         \"bytes_per_id\":{bytes:.1}}}"
    )
}

fn main() {
    let ours = measure("sharded", || Box::new(Seen::new()));
    let one = measure("one lock", || Box::<Mutex<HashSet<[u8; 32]>>>::default());
    println!("{{\"bench\":\"seen\",\"ids\":{IDS},\"sets\":[{ours},{one}]}}");
}
