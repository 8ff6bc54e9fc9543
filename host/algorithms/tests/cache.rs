//! A key is prepared once, within a budget of memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, CacheFigures, Context, ContextCache, Key};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};

/// An algorithm whose contexts hold so many bytes; it counts how many it made and refuses the empty key.
#[derive(Default)]
struct Dear {
    made: AtomicUsize,
    together: Option<Barrier>,
}

struct Dataset;

const BYTES: usize = 1000;

impl Algorithm for Dear {
    fn name(&self) -> &str {
        "dear"
    }
    fn key(&self) -> Key {
        Key::Dear
    }
    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        self.made.fetch_add(1, SeqCst);
        if let Some(together) = &self.together {
            together.wait();
        }
        match key {
            [] => Err(AlgorithmError::Key { algorithm: "dear".into(), needed: "1", given: 0 }),
            _ => Ok(Arc::new(Dataset)),
        }
    }
}

impl Context for Dataset {
    fn bytes(&self) -> usize {
        BYTES
    }
    fn hash(&self, _: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        out.fill(1);
        Ok(())
    }
}

#[test]
fn the_same_key_is_prepared_once_and_shared() {
    let (cache, dear) = (ContextCache::default(), Dear::default());
    let first = cache.prepare(&dear, &[1]).unwrap();
    assert!(Arc::ptr_eq(&first, &cache.prepare(&dear, &[1]).unwrap()));
    assert!(!Arc::ptr_eq(&first, &cache.prepare(&dear, &[2]).unwrap()));
    assert_eq!(dear.made.load(SeqCst), 2);
    assert_eq!(
        cache.figures(),
        CacheFigures { hits: 1, misses: 2, evicted: 0, contexts: 2, bytes: 2 * (BYTES + 1) }
    );
}

#[test]
fn what_was_used_least_lately_is_forgotten_when_the_budget_is_full() {
    let (cache, dear) = (ContextCache::new(3 * (BYTES + 1)), Dear::default());
    for key in [1, 2, 3, 1, 4] {
        cache.prepare(&dear, &[key]).unwrap();
    }
    assert_eq!(cache.figures().contexts, 3);
    assert_eq!((cache.figures().bytes, cache.figures().evicted), (3 * (BYTES + 1), 1));
    for key in [1, 3, 4] {
        cache.prepare(&dear, &[key]).unwrap();
    }
    assert_eq!(dear.made.load(SeqCst), 4, "1, 3 and 4 are still there");
    cache.prepare(&dear, &[2]).unwrap();
    assert_eq!(dear.made.load(SeqCst), 5, "2 was forgotten");
}

#[test]
fn a_context_larger_than_the_budget_is_made_for_each_who_asks() {
    let (cache, dear) = (ContextCache::new(BYTES / 2), Dear::default());
    for _ in 0..3 {
        cache.prepare(&dear, &[1]).unwrap();
    }
    assert_eq!((dear.made.load(SeqCst), cache.figures().contexts, cache.figures().bytes), (3, 0, 0));
}

#[test]
fn a_key_that_is_refused_is_not_kept() {
    let (cache, dear) = (ContextCache::default(), Dear::default());
    for _ in 0..2 {
        assert!(matches!(cache.prepare(&dear, &[]), Err(AlgorithmError::Key { .. })));
    }
    assert_eq!(cache.figures(), CacheFigures { hits: 0, misses: 2, evicted: 0, contexts: 0, bytes: 0 });
}

#[test]
fn two_keys_are_prepared_at_the_same_time() {
    // Each preparation waits for the other to have begun.
    let dear = Dear { made: AtomicUsize::new(0), together: Some(Barrier::new(2)) };
    let cache = ContextCache::default();
    std::thread::scope(|scope| {
        for key in [1, 2] {
            let (cache, dear) = (&cache, &dear);
            scope.spawn(move || cache.prepare(dear, &[key]).unwrap());
        }
    });
    assert_eq!((dear.made.load(SeqCst), cache.figures().contexts), (2, 2));
}

#[test]
fn one_key_asked_for_by_many_at_once_is_prepared_once() {
    let (cache, dear) = (ContextCache::default(), Dear::default());
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                cache.prepare(&dear, &[1]).unwrap();
            });
        }
    });
    assert_eq!((dear.made.load(SeqCst), cache.figures().hits), (1, 7));
}

#[test]
fn a_registry_prepares_the_matrix_of_a_key_once_and_its_copies_share_it() {
    let all = Algorithms::native();
    let first = all.get("kheavyhash").unwrap().prepare(&[7; 32]).unwrap();
    let again = all.clone().get("kheavyhash").unwrap().prepare(&[7; 32]).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let figures = all.contexts().figures();
    assert_eq!((figures.hits, figures.misses, figures.contexts), (1, 1, 1));
    assert!(figures.bytes > 64 * 64, "{} bytes", figures.bytes);
    // What costs no more than a hash is not worth keeping.
    all.get("blake2b-256-keyed").unwrap().prepare(b"BlockHash").unwrap();
    assert_eq!(all.contexts().figures().misses, 1);
}

#[test]
fn what_a_plugin_exports_is_not_kept_beyond_its_jobs() {
    // Another version of the plugin may have another algorithm of that name, and a kept context would hold the old one.
    let mut all = Algorithms::native();
    let dear = Arc::new(Dear::default());
    assert!(all.add(Arc::clone(&dear) as Arc<dyn Algorithm>));
    let first = all.get("dear").unwrap().prepare(&[1]).unwrap();
    assert!(!Arc::ptr_eq(&first, &all.get("dear").unwrap().prepare(&[1]).unwrap()));
    assert_eq!((dear.made.load(SeqCst), all.contexts().figures()), (2, CacheFigures::default()));
}
