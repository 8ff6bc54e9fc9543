//! A compiled document: one list of instructions per stage over numbered registers.

use crate::field::Stage;
use millpond_algorithms::{Context, Verifier};
use std::sync::Arc;

/// A register: its stage and its number within the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) stage: Stage,
    pub(crate) slot: u16,
}

/// A prepared context: its stage and its number within the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextAt {
    pub(crate) stage: Stage,
    pub(crate) slot: u16,
}

/// What an instruction does. All but the checks and `Prepare` write the next register of their stage.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Cat(Box<[Operand]>),
    Reverse(Operand),
    /// Reverses the order of words of that many bytes.
    ReverseWords(u32, Operand),
    /// Reverses the bytes inside each word of that many bytes.
    SwapWords(u32, Operand),
    /// `(base and not mask) or (bits and mask)`.
    Blend {
        base: Operand,
        bits: Operand,
        mask: Operand,
    },
    Xor(Operand, Operand),
    Slice {
        of: Operand,
        from: u32,
        to: Option<u32>,
    },
    PadLeft(u32, Operand),
    PadRight(u32, Operand),
    /// Removes a prefix where the value has it.
    Strip {
        prefix: Operand,
        of: Operand,
    },
    Len(Operand),
    FromBe(Operand),
    FromLe(Operand),
    Add(Operand, Operand),
    Subtract(Operand, Operand),
    Multiply(Operand, Operand),
    ToBe(u32, Operand),
    ToLe(u32, Operand),
    /// Bitcoin's variable-length integer ("CompactSize").
    VarInt(Operand),
    /// `heavy` hashes of several shares are taken together.
    Hash {
        with: ContextAt,
        output: u32,
        of: Operand,
        heavy: bool,
    },
    /// `acc = hash(acc item)` over a list; with `sided`, an item's first byte 1 puts it before `acc`.
    Fold {
        with: ContextAt,
        output: u32,
        start: Operand,
        list: Operand,
        item: u32,
        sided: bool,
    },
    /// Prepares a keyed algorithm: index into the recipe's algorithms, and the key.
    Prepare {
        algorithm: u16,
        key: Operand,
    },
    Range {
        what: Operand,
        low: BoundAt,
        high: BoundAt,
        name: Box<str>,
    },
    Subset {
        what: Operand,
        mask: Operand,
        name: Box<str>,
    },
    Claim {
        claimed: Operand,
        computed: Operand,
        name: Box<str>,
    },
    Verify {
        verifier: u16,
        input: Operand,
        proof: Operand,
    },
}

impl Operation {
    /// Whether it writes the next register of its stage.
    pub(crate) fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Prepare { .. }
                | Self::Range { .. }
                | Self::Subset { .. }
                | Self::Claim { .. }
                | Self::Verify { .. }
        )
    }
}

/// A bound: a register read as a big-endian number, if any, plus and minus a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoundAt {
    pub(crate) register: Option<Operand>,
    pub(crate) plus: u64,
    pub(crate) minus: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) line: u32,
    pub(crate) operation: Operation,
}

/// A target that a further `judge` compares with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    pub(crate) little_endian: bool,
    pub(crate) hash: Operand,
    pub(crate) against: Option<Operand>,
}

/// How the network's target stands in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetForm {
    Be,
    Le,
    /// 4 big-endian bytes: exponent, sign and 23 bits of mantissa.
    Compact23,
    /// 4 big-endian bytes: exponent and 24 bits of unsigned mantissa.
    Compact24,
}

/// Contexts and verifiers that instructions name by number.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) algorithms: Vec<Arc<dyn millpond_algorithms::Algorithm>>,
    pub(crate) verifiers: Vec<Arc<dyn Verifier>>,
    /// The algorithms of the contexts that the document itself prepares, by their number.
    pub(crate) hashes: Vec<Box<str>>,
}

/// One stage's registers: bytes in an arena, and where each register lies in it.
#[derive(Clone, Default)]
pub(crate) struct Bank {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: Vec<(u32, u32)>,
    pub(crate) contexts: Vec<Arc<dyn Context>>,
    /// Bytes hashed since the last [`Bank::clear`].
    pub(crate) hashed: usize,
}

impl Bank {
    #[inline]
    pub(crate) fn get(&self, slot: u16) -> Option<&[u8]> {
        let (start, end) = *self.spans.get(usize::from(slot))?;
        self.bytes.get(start as usize..end as usize)
    }

    /// Forgets the registers and keeps the memory.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.contexts.clear();
        self.hashed = 0;
    }
}
