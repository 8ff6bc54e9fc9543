//! A family's line, its document, and what reads the same by hand.

use super::hand;
use millpond_dialect::{Extranonce, JobRef, SessionView, Submit};
use std::hint::black_box;

/// A session that mines.
pub(crate) struct Session {
    prefix: &'static [u8],
    size: usize,
}

impl SessionView for Session {
    fn subscribed(&self) -> bool {
        true
    }

    fn authorized(&self) -> bool {
        true
    }

    fn extranonce(&self, _job: &JobRef<'_>) -> Extranonce<'_> {
        Extranonce { prefix: self.prefix, size: self.size }
    }

    fn negotiated(&self, _field: &str) -> Option<&[u8]> {
        None
    }
}

/// A family's line, read by the document and by hand.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) document: &'static str,
    pub(crate) line: String,
    pub(crate) session: Session,
    pub(crate) by_hand: fn(&[u8], &dyn SessionView),
    /// Whether a share that was read by hand is the one that the document reads.
    pub(crate) same: fn(&[u8], &dyn SessionView, &Submit<'_>, &str) -> bool,
}

/// The share by hand, and how it compares with one of the document.
macro_rules! by_hand {
    ($decode:path, $fields:expr) => {
        (
            (|line, session| drop(black_box($decode(black_box(line), session).unwrap())))
                as fn(&[u8], &dyn SessionView),
            (|line, session, submit, id| {
                let share = $decode(line, session).unwrap();
                let fields: &[&str] = $fields;
                let words =
                    fields.iter().zip(&share.words).all(|(name, word)| submit.field(name) == Some(&word[..]));
                words
                    && share.id == id
                    && Some(share.worker) == submit.worker.as_deref()
                    && share.job == submit.job
                    && submit.field("xn") == Some(&share.xn[..])
            }) as fn(&[u8], &dyn SessionView, &Submit<'_>, &str) -> bool,
        )
    };
}

/// Lines as miners send them, with an address of the longest kind and a job of this host.
pub(crate) fn families() -> Vec<Family> {
    let family = |name, document, line, (prefix, size): (&'static [u8], usize), (by_hand, same)| Family {
        name,
        document,
        line,
        session: Session { prefix, size },
        by_hand,
        same,
    };
    let bitcoin = include_str!("../../../../examples/families/bitcoin/v1.dialect");
    let kaspa = include_str!("../../../../examples/families/kaspa/default.dialect");
    let ckb = include_str!("../../../../examples/families/ckb/a.dialect");
    let decred = include_str!("../../../../examples/families/decred/v1.dialect");
    let worker = "bc1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85.multi";
    let line = |values: &str| {
        format!(r#"{{"id":4711,"method":"mining.submit","params":["{worker}","6b0143a5000000ed",{values}]}}"#)
    };
    let bits = r#""0000000000000000","6b0143dc","7fa00800","00abc000""#;
    let plain = r#""0000000000000000","6b0143dc","7fa00800""#;
    vec![
        family(
            "bitcoin, version bits",
            bitcoin,
            line(bits),
            (&[8, 0, 0, 2], 12),
            by_hand!(hand::bitcoin, &["time", "nonce", "vbits"]),
        ),
        family(
            "bitcoin, plain",
            bitcoin,
            line(plain),
            (&[8, 0, 0, 2], 12),
            by_hand!(hand::bitcoin, &["time", "nonce", "vbits"]),
        ),
        family("kaspa", kaspa, line(r#""0x00010203040506ff""#), (&[0, 1], 8), by_hand!(hand::kaspa, &[])),
        family(
            "ckb",
            ckb,
            line(r#""0405060708090a0b0c0d0e0f""#),
            (&[1, 2, 3, 4], 16),
            by_hand!(hand::ckb, &[]),
        ),
        family(
            "decred",
            decred,
            line(r#""05060708","6b0143dc","7fa00800""#),
            (&[1, 2, 3, 4], 8),
            by_hand!(hand::decred, &["time", "nonce"]),
        ),
    ]
}
