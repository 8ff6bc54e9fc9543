//! A session as words for the process that takes over.

use super::{Session, session_text};
use crate::carried::{Bits, Hex, Moment};
use crate::epoch::carried::{EpochsState, read, told};
use crate::epoch::{Epochs, WireJob};
use crate::extranonce::Lease;
use crate::login::carried::{PayeeState, Payees};
use crate::vardiff::carried::VardiffState;
use crate::vardiff::{Vardiff, VardiffConfig};
use millpond_dialect::Dialect;
use millpond_types::{JobId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    id: SessionId,
    pub(crate) dialect: String,
    agent: String,
    subscribed: bool,
    extranonce_updates: bool,
    leased: bool,
    prefix: Hex,
    pub(crate) xn_size: usize,
    negotiated: BTreeMap<String, Hex>,
    told_fields: BTreeMap<String, Hex>,
    able: BTreeMap<String, Hex>,
    vardiff: VardiffState,
    #[serde(deserialize_with = "Option::deserialize")]
    told: Option<Bits>,
    epochs: EpochsState,
    logins: Vec<(String, PayeeState)>,
    issued: Vec<(JobId, u8)>,
}

impl Words {
    /// The lease that the session has, by its name and prefix.
    pub(crate) fn lease(&self) -> Option<(SessionId, &[u8])> {
        self.leased.then_some((self.id, self.prefix.0.as_slice()))
    }
}

impl Session {
    pub(crate) fn words(&self, oldest: Option<JobId>, moment: Moment) -> Words {
        Words {
            id: self.id,
            dialect: self.dialect.name().to_owned(),
            agent: self.agent.to_string(),
            subscribed: self.subscribed,
            extranonce_updates: self.extranonce_updates,
            leased: self.lease.is_some(),
            prefix: self.prefix.as_ref().into(),
            xn_size: self.xn_size,
            negotiated: told(&self.negotiated),
            told_fields: told(&self.told_fields),
            able: told(&self.able),
            vardiff: self.vardiff.state(moment),
            told: self.told.map(Bits::from),
            epochs: self.epochs.state(oldest),
            logins: self
                .logins
                .iter()
                .map(|(login, payee)| (login.to_string(), PayeeState::from(payee.as_ref())))
                .collect(),
            issued: self.issued.iter().map(|wire| (wire.job, wire.epoch)).collect(),
        }
    }

    /// The session that the words are of, in a dialect of that name and with the lease that it had. Its target follows
    /// from its difficulty.
    pub(crate) fn of(
        words: Words,
        dialect: Arc<Dialect>,
        lease: Option<Lease>,
        config: VardiffConfig,
        moment: Moment,
        payees: &mut Payees,
    ) -> Self {
        let vardiff = Vardiff::of(&words.vardiff, config, dialect.rounding(), moment);
        let prefix: Arc<[u8]> = Arc::from(words.prefix.0);
        let negotiated = Arc::new(read(words.negotiated));
        let told_fields = Arc::new(read(words.told_fields));
        let told_fields = if told_fields == negotiated { Arc::clone(&negotiated) } else { told_fields };
        let logins = words.logins.into_iter().map(|(login, payee)| (login.into(), payees.of(payee)));
        let logins = logins.collect();
        Self {
            id_text: session_text(words.id),
            subscribed: words.subscribed,
            agent: words.agent.into(),
            extranonce_updates: words.extranonce_updates,
            lease,
            epochs: Epochs::of(words.epochs, Arc::clone(&prefix), Arc::clone(&negotiated), payees),
            prefix,
            negotiated,
            told_fields,
            able: read(words.able),
            told: words.told.map(f64::from),
            logins,
            issued: words.issued.into_iter().map(|(job, epoch)| WireJob { job, epoch }).collect(),
            ..Self::new(words.id, dialect, words.xn_size, vardiff)
        }
    }
}
