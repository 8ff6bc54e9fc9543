//! Who is paid in the coinbase, and merged-mining commitments: the revisions that jobs may still carry.

use millpond_contracts::chain::{Aux, Output};
use std::collections::VecDeque;
use std::sync::Arc;

/// Revisions that a job may still carry: a template in the making is a few revisions old at most, also where every new tip
/// and every few seconds bring another.
const KEPT: usize = 64;

/// The newest revisions of outputs and commitments, numbered together.
#[derive(Debug)]
pub(crate) struct Revisions {
    revision: u64,
    outputs: VecDeque<(u64, Arc<[Output]>)>,
    aux: Vec<Aux>,
}

impl Revisions {
    /// Starts with the outputs of a revision; revision 0 stands for none.
    pub(crate) fn new(revision: u64, outputs: Vec<Output>) -> Self {
        let mut kept: VecDeque<(u64, Arc<[Output]>)> = VecDeque::new();
        kept.push_back((revision, Arc::from(outputs)));
        Self { revision, outputs: kept, aux: Vec::new() }
    }

    /// New outputs; their revision.
    pub(crate) fn set_outputs(&mut self, outputs: Vec<Output>) -> u64 {
        self.revision = self.revision.saturating_add(1);
        self.outputs.push_back((self.revision, Arc::from(outputs)));
        while self.outputs.len() > KEPT {
            self.outputs.pop_front();
        }
        self.revision
    }

    /// New commitments; their revision.
    pub(crate) fn set_aux(&mut self, aux: Vec<Aux>) -> u64 {
        self.revision = self.revision.saturating_add(1);
        self.aux = aux;
        self.revision
    }

    /// The outputs that a job of this revision carries.
    pub(crate) fn outputs(&self, revision: u64) -> Option<Arc<[Output]>> {
        if let Some((_, outputs)) = self.outputs.iter().find(|(kept, _)| *kept == revision) {
            return Some(Arc::clone(outputs));
        }
        // Revision 0 carries none; that is right only while nobody is to be paid.
        let (_, newest) = self.outputs.back()?;
        (revision == 0 && newest.is_empty()).then(|| Arc::clone(newest))
    }

    /// The newest of all, for an instance that starts.
    pub(crate) fn newest(&self) -> (u64, Vec<Output>, Vec<Aux>) {
        let outputs = self.outputs.back().map(|(_, outputs)| outputs.to_vec()).unwrap_or_default();
        (self.revision, outputs, self.aux.clone())
    }
}
