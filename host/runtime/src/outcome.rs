//! How a call into a plugin ends.

use std::fmt;

/// A call that ended well: what it gave and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The plugin's result.
    pub value: T,
    /// Fuel the call was allowed.
    pub fuel_limit: u64,
    /// Fuel the call used; the same on every machine for one component and input, except over wasmtime versions.
    pub fuel_used: u64,
}

impl<T> Done<T> {
    /// The same cost with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        Done { value: f(self.value), fuel_limit: self.fuel_limit, fuel_used: self.fuel_used }
    }
}

/// What a call into a plugin gives.
pub type Outcome<T> = Result<Done<T>, CallError>;

/// A call that gave nothing. Its text is what an operator reads first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin's own error: its instance lives.
    #[error("{function}: the plugin says: {message}")]
    Plugin {
        /// The function called.
        function: String,
        /// The plugin's text, sanitised and cut.
        message: String,
    },
    /// The plugin trapped or met a limit: its instance is gone, nothing of the call counts.
    #[error("{function}: {kind}: {message}")]
    Trap {
        /// The function called.
        function: String,
        /// What ended it.
        kind: TrapKind,
        /// wasmtime's first cause, or the limit that was met and its size.
        message: String,
    },
    /// The host refused before or after the call: an input too large for any limit, a result of impossible form.
    #[error("{function}: {message}")]
    Host {
        /// The function called.
        function: String,
        /// Why.
        message: String,
    },
}

impl CallError {
    /// Whether this counts against the plugin: every trap does, but for one by the host's own overload or want.
    #[must_use]
    pub fn is_strike(&self) -> bool {
        matches!(self, Self::Trap { kind, .. } if !matches!(kind, TrapKind::Overload | TrapKind::Machine))
    }

    /// Whether the instance is gone.
    #[must_use]
    pub fn is_trap(&self) -> bool {
        matches!(self, Self::Trap { .. })
    }
}

/// What ended a call that did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// All fuel was used: an endless loop, or too small a limit.
    Fuel,
    /// The CPU time of a call: the backstop behind fuel.
    Epoch,
    /// The wall-clock time of a call while the host gave it little CPU time: retried, and no strike.
    Overload,
    /// The machine did not give what the plugin may have, most likely memory: no strike.
    Machine,
    /// Memory or tables beyond the limit.
    Memory,
    /// The stack overflowed: recursion too deep.
    Stack,
    /// Handed over more bytes to the host than allowed.
    Hostcall,
    /// `unreachable` (a panic in most languages), out-of-bounds access, division by zero, a refused host call.
    Other,
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fuel => "out of fuel",
            Self::Epoch => "out of time",
            Self::Overload => "out of wall-clock time on an overloaded host",
            Self::Machine => "the machine has not enough",
            Self::Memory => "out of memory",
            Self::Stack => "stack overflow",
            Self::Hostcall => "too many bytes handed to the host",
            Self::Other => "trap",
        })
    }
}
