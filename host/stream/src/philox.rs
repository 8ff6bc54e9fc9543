//! Philox 4x64-10: ten rounds of two wide products over four words of a counter.

const FIRST: u64 = 0xd2e7_470e_e14c_6c93;
const SECOND: u64 = 0xca5a_8263_9512_1157;
/// The golden ratio, and the square root of 3 less 1: what the key is stepped by between rounds.
const STEPS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b];
const ROUNDS: u32 = 10;

/// The block of a counter under a key: a permutation of counters for each key.
#[inline(always)]
pub(crate) fn block(counter: [u64; 4], key: [u64; 2]) -> [u64; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut left, mut right] = key;
    for _ in 0..ROUNDS {
        let (first_high, first_low) = product(FIRST, a);
        let (second_high, second_low) = product(SECOND, c);
        (a, b, c, d) = (second_high ^ b ^ left, second_low, first_high ^ d ^ right, first_low);
        left = left.wrapping_add(STEPS[0]);
        right = right.wrapping_add(STEPS[1]);
    }
    [a, b, c, d]
}

/// High and low half of a product.
#[inline(always)]
fn product(a: u64, b: u64) -> (u64, u64) {
    let wide = u128::from(a).wrapping_mul(u128::from(b));
    ((wide >> 64) as u64, wide as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with Random123 (tests/kat_vectors, "philox4x64 10").
    #[test]
    fn blocks_are_those_that_the_authors_publish() {
        let ones = u64::MAX;
        // Digits of pi.
        let pi = [
            0x243f_6a88_85a3_08d3,
            0x1319_8a2e_0370_7344,
            0xa409_3822_299f_31d0,
            0x082e_fa98_ec4e_6c89,
            0x4528_21e6_38d0_1377,
            0xbe54_66cf_34e9_0c6c,
        ];
        let known = [
            (
                ([0; 4], [0; 2]),
                [0x1655_4d9e_ca36_314c, 0xdb20_fe9d_672d_0fdc, 0xd7e7_72ce_e186_176b, 0x7e68_b68a_ec7b_a23b],
            ),
            (
                ([ones; 4], [ones; 2]),
                [0x87b0_92c3_013f_e90b, 0x438c_3c67_be8d_0224, 0x9cc7_d7c6_9cd7_77b6, 0xa09c_aebf_594f_0ba0],
            ),
            (
                ([pi[0], pi[1], pi[2], pi[3]], [pi[4], pi[5]]),
                [0xa528_f454_03e6_1d95, 0x38c7_2dbd_566e_9788, 0xa5a1_610e_72fd_18b5, 0x57bd_43b5_e52b_7fe6],
            ),
        ];
        for ((counter, key), answer) in known {
            assert_eq!(block(counter, key), answer, "counter {counter:x?}, key {key:x?}");
        }
    }
}
