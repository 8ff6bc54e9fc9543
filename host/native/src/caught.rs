//! A call of native code that gives what a component's would: a result, the plugin's own error, or a trap.

use millpond_contracts::{CallError, Done, Outcome, TrapKind};
use millpond_runtime::clean;
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// A plugin's text is cut at so many bytes, as a component's is.
const TEXT: u64 = 1024;

thread_local! {
    /// Whether this thread is inside a plugin.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a plugin's function. A panic is a trap, and nothing of it is written anywhere: the error says it.
pub(crate) fn call<T>(function: &str, run: impl FnOnce() -> Result<T, String>) -> Outcome<T> {
    silence();
    let before = INSIDE.replace(true);
    // What was handed in is the call's own and is gone with it.
    let done = panic::catch_unwind(AssertUnwindSafe(run));
    INSIDE.set(before);
    match done {
        Ok(Ok(value)) => Ok(Done { value, fuel_limit: 0, fuel_used: 0 }),
        Ok(Err(message)) => {
            Err(CallError::Plugin { function: function.to_owned(), message: clean(&message, TEXT) })
        }
        Err(panicked) => {
            let (function, message) = (function.to_owned(), clean(said(panicked.as_ref()), TEXT));
            Err(CallError::Trap { function, kind: TrapKind::Other, message })
        }
    }
}

/// What a panic says.
fn said(panicked: &(dyn Any + Send)) -> &str {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("panicked")
}

/// Puts a hook in front of the present one that says nothing of panics inside a plugin, once for the process.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let present = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !INSIDE.get() {
                present(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_gives_its_result_its_error_or_a_trap() {
        assert_eq!(call("f", || Ok(7)).unwrap().value, 7);
        let own = call::<u8>("f", || Err("no\u{7} such\nthing".to_owned())).unwrap_err();
        assert!(matches!(&own, CallError::Plugin { function, .. } if function == "f"), "{own:?}");
        let text = "the sum does not fit";
        let trap = call::<u8>("f", || panic!("{text}")).unwrap_err();
        assert!(trap.is_trap() && trap.to_string().contains(text), "{trap}");
        let overflow = call("f", || Ok(std::hint::black_box(u64::MAX) + 1)).unwrap_err();
        assert!(overflow.is_trap(), "{overflow}");
    }

    #[test]
    fn a_panic_inside_is_not_the_next_calls_and_one_outside_is_heard() {
        let _ = call::<u8>("f", || panic!("inside"));
        assert!(!INSIDE.get());
        // A call within a call, as a scheme that is made of another may have it.
        let outer = call("outer", || {
            let inner = call::<u8>("inner", || panic!("inner"));
            assert!(INSIDE.get());
            inner.map(|done| done.value).or(Ok(1))
        });
        assert_eq!(outer.unwrap().value, 1);
        assert!(!INSIDE.get());
    }
}
