//! Two runs beside each other, where there is so much to do that a thread is worth it.

/// From so many rows on. A thread takes some ten microseconds to start, and a row some hundred nanoseconds in a sandbox.
const ROWS: usize = 4_096;

/// Both results, whichever is done first.
pub(crate) fn both<A, B: Send>(
    rows: usize,
    one: impl FnOnce() -> A,
    two: impl FnOnce() -> B + Send,
) -> (A, B) {
    if rows < ROWS {
        return (one(), two());
    }
    std::thread::scope(|scope| {
        let two = scope.spawn(two);
        let one = one();
        (one, two.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_one_behind_the_other_and_many_are_beside() {
        for (rows, beside) in [(ROWS - 1, false), (ROWS, true)] {
            let here = std::thread::current().id();
            let (one, two) = both(rows, || std::thread::current().id(), || std::thread::current().id());
            assert_eq!((one == here, two != here), (true, beside), "{rows}");
        }
    }
}
