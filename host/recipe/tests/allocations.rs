//! Judging shares allocates nothing once the scratch has grown to its size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unsafe_code)] // A counting allocator can be written no other way.

use millpond_algorithms::Algorithms;
use millpond_recipe::{Recipe, Scratch};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_bitcoin_share_allocates_nothing() {
    let text = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
    let recipe = Recipe::compile("bitcoin.recipe", text, &Algorithms::native()).unwrap();
    let consts: [&[u8]; 7] =
        [&[1; 90], &[2; 130], &[3; 32 * 12], &[0; 4], &[4; 32], &[0xff, 0xff, 0x7f, 0x20], &[0; 4]];
    let session = recipe.job(&consts).unwrap().session(&[&[0x1f, 0xff, 0xe0, 0][..], &[]]).unwrap();
    let mut scratch = Scratch::default();
    let mut judge = |i: u32| {
        let nonce = i.to_be_bytes();
        let values: [&[u8]; 4] = [&[5; 8], &[0, 0, 0, 1], &nonce, &[]];
        session.judge(&values, &mut scratch).unwrap().pow
    };
    judge(0);
    let before = COUNT.with(Cell::get);
    let mut all = 0_u8;
    for i in 1..1000 {
        all |= judge(i)[31];
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0);
    assert_ne!(all, 0);
}
