//! The plain constants of a component: what a bomb may be set to.

use std::collections::BTreeSet;
use wasmparser::{Operator, Parser, Payload};

/// Most constants that are tried.
const MOST: usize = 64;
/// Below it the ladder of powers has nearly everything, and programs are full of them.
const LEAST: u64 = 1 << 10;
/// Where a linker puts a Rust program's data: nearly all 32-bit constants are addresses there.
const DATA: std::ops::Range<u64> = 1 << 20..(1 << 20) + (1 << 17);

/// 32-bit and 64-bit constants of all code of a component, the smallest first; those that are too many are left out, as
/// are addresses. None for bytes that are no component.
#[must_use]
pub fn constants(component: &[u8]) -> Vec<u64> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(component) {
        let Ok(Payload::CodeSectionEntry(body)) = payload else { continue };
        let Ok(operators) = body.get_operators_reader() else { continue };
        for operator in operators {
            match operator {
                Ok(Operator::I64Const { value }) => found.insert(value.cast_unsigned()),
                Ok(Operator::I32Const { value }) => {
                    let value = u64::from(value.cast_unsigned());
                    !DATA.contains(&value) && found.insert(value)
                }
                _ => false,
            };
        }
    }
    found.into_iter().filter(|number| (LEAST..1 << 62).contains(number)).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_in_the_code_are_found_and_data_is_not() {
        let text = r#"(component (core module
            (memory 1) (data (i32.const 70000) "123456789")
            (func (param i64) (result i32) (i64.ge_u (local.get 0) (i64.const 1893456000000)))
            (func (result i64) (i64.const 7))
            (func (result i32) (i32.const 1048600) drop (i32.const 851234))))"#;
        assert_eq!(constants(&wat::parse_str(text).unwrap()), [851_234, 1_893_456_000_000]);
        assert_eq!(constants(b"no component"), Vec::<u64>::new());
    }
}
