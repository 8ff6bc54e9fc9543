//! A changed configuration in a running pool: what can follow without a restart follows, and the rest stays as it was.
//!
//! Plugins follow by the rules of a swap. What a section says of them, of fees, minimums and payments is in force once
//! this is done; whatever still differs afterwards needs a restart. Nothing here disconnects a miner.

use crate::Pool;
use crate::payments::Rules;
use crate::plugins::Component;
use crate::promotion;
use crate::setup::{Prepared, SetupError};
use crate::sockets;
use millpond_alerts::Level;
use millpond_config::Stratum as Limits;
use millpond_journal::Notice;
use millpond_stratum::{PortConfig, StratumConfig};
use millpond_types::UnixMillis;

/// What came of a changed section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// What happened to plugins, one sentence each.
    pub done: Vec<String>,
    /// What should have followed and did not, and why; the running version stays.
    pub failed: Vec<String>,
}

/// A section that was found, loaded and checked for a running pool. Nothing is changed by making one.
pub struct Following {
    prepared: Prepared,
    rules: Rules,
    stratum: StratumConfig,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("prepared", &self.prepared).finish_non_exhaustive()
    }
}

impl Following {
    /// Checks what only a running pool uses of a prepared section.
    ///
    /// # Errors
    /// Options of payments or ports that are not understood.
    pub fn check(prepared: Prepared) -> Result<Self, SetupError> {
        let rules = Rules::of(&prepared.section, prepared.fee_addresses.clone())?;
        let stratum = sockets::stratum(&prepared.section)?;
        Ok(Self { prepared, rules, stratum })
    }
}

impl Pool {
    /// Follows a changed section. `changes` are what differs, one sentence each, as it is recorded. Blocks, for as long as
    /// an adapter takes to lead.
    ///
    /// # Errors
    /// When the order could not be recorded: then nothing is changed.
    pub fn follow(&self, new: Following, changes: &[String], actor: &str) -> Result<Followed, String> {
        let Following { prepared, rules, stratum } = new;
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        self.record_admin(actor, "reload", &changes)?;
        let mut followed = Followed::default();
        // Before what may take a while: under attack the lists are what the file was changed for.
        self.follow_limits(&prepared, &stratum, &mut followed);
        self.follow_adapter(&prepared, &mut followed);
        self.follow_policy(&prepared, actor, &mut followed);
        self.follow_certificates(&prepared, &stratum.ports, &mut followed);
        let section = &prepared.section;
        let mut sections = self.sections.write();
        sections.configured = section.clone();
        sections.in_force.retention = section.retention.clone();
        sections.in_force.settlement = section.settlement.clone();
        sections.in_force.payout.minimum = section.payout.minimum;
        drop(sections);
        // A run that is under way is waited for: nobody else waits for it meanwhile.
        if let Some(payments) = &self.payments {
            payments.replace(rules);
        }
        for why in &followed.failed {
            self.core.alarm(Level::Warning, "swap", format!("after a reload: {why}"));
        }
        Ok(followed)
    }

    /// What following a section would do to plugins, one sentence each, with the components' digests. Nothing is changed; what
    /// the journal and the adapter have to say against it is said when it is followed.
    #[must_use]
    pub fn foretell(&self, new: &Following) -> Vec<String> {
        let Prepared { section, wanted, adapter_component: adapter, adapter_settings, .. } = &new.prepared;
        let named = |component: &Component| format!("{} ({})", component.name, component.digest.short());
        let mut told = Vec::new();
        let leads = self.roles.lock().get("adapter").map(|(_, digest)| *digest);
        if leads != Some(adapter.digest) {
            told.push(format!("the adapter {} would lead, once it is at the tip", named(adapter)));
        } else if *self.adapter_settings.lock() != *adapter_settings {
            told.push(format!("the adapter {} would lead anew, with other settings", named(adapter)));
        }
        let coinbase = self.section().chain.coinbase;
        if coinbase != section.chain.coinbase || coinbase == "miner" || self.core.books.wants(wanted) {
            return told;
        }
        let fees: Vec<String> = wanted.fees.iter().map(|fee| named(&fee.component)).collect();
        let fees = if fees.is_empty() { "no fee".to_owned() } else { fees.join(", ") };
        let when = match u64::try_from(wanted.notice.as_millis()) {
            Ok(0) => "the next block".to_owned(),
            notice => format!(
                "the first block that is found in {} or later",
                promotion::long(notice.unwrap_or(u64::MAX))
            ),
        };
        told.push(format!("{} with {fees} would take over after {when}", named(&wanted.scheme)));
        told
    }

    /// Who is denied now is hung up on; nobody else is.
    fn follow_limits(&self, new: &Prepared, stratum: &StratumConfig, followed: &mut Followed) {
        match self.server.follow(stratum) {
            Ok(()) => {
                let in_force = &mut self.sections.write().in_force.stratum;
                *in_force = limits_in_force(in_force, &new.section.stratum);
            }
            Err(why) => followed.failed.push(format!("limits and lists stay as they were: {why}")),
        }
    }

    fn follow_adapter(&self, new: &Prepared, followed: &mut Followed) {
        let component = &new.adapter_component;
        let running = self.roles.lock().get("adapter").map(|(_, digest)| *digest);
        let same = running == Some(component.digest) && *self.adapter_settings.lock() == new.adapter_settings;
        if !same {
            let adapter = std::sync::Arc::clone(&new.adapter);
            match self.lead(component, adapter, &new.grants, new.adapter_settings.clone()) {
                Ok(said) => followed.done.push(said),
                Err(why) => {
                    return followed
                        .failed
                        .push(format!("the adapter {} does not lead: {why}", component.name));
                }
            }
        }
        let mut sections = self.sections.write();
        sections.in_force.chain.adapter.clone_from(&new.section.chain.adapter);
        sections.in_force.chain.settings.clone_from(&new.section.chain.settings);
    }

    /// Certificates are renewed under the same path more often than under another, so they are read again either way.
    fn follow_certificates(&self, new: &Prepared, ports: &[PortConfig], followed: &mut Followed) {
        for (port, read) in self.server.reload_certificates(ports) {
            match read {
                Ok(changed) => {
                    if changed {
                        followed.done.push(format!(
                            "the port {port} shows another certificate from now on; who is connected stays"
                        ));
                    }
                    let named = new.section.port.iter().find(|section| section.listen == port);
                    let mut sections = self.sections.write();
                    let in_force = sections.in_force.port.iter_mut().find(|section| section.listen == port);
                    if let (Some(in_force), Some(named)) = (in_force, named)
                        && let (Some(old), Some(new)) = (&mut in_force.tls, &named.tls)
                    {
                        old.clone_from(new);
                    }
                }
                Err(why) => {
                    followed.failed.push(format!("the port {port} keeps the certificate it has: {why}"));
                }
            }
        }
    }

    fn follow_policy(&self, new: &Prepared, actor: &str, followed: &mut Followed) {
        let section = self.section();
        // Who the coinbase pays is told to the chain at the start alone: with "miner" the fee is a part of that.
        if section.chain.coinbase != new.section.chain.coinbase {
            return;
        }
        if section.chain.coinbase == "miner" {
            if !self.core.books.wants(&new.wanted) {
                let why = "the coinbase pays miners and fee: another scheme or fee policy needs a restart";
                followed.failed.push(why.to_owned());
            }
            return;
        }
        let payees = |section: &millpond_config::Pool| -> Vec<(String, Option<String>)> {
            let recipients = section.fee.iter().flat_map(|fee| &fee.recipient);
            recipients.map(|recipient| (recipient.name.clone(), recipient.address.clone())).collect()
        };
        if section.chain.coinbase == "scheme" && payees(&section) != payees(&new.section) {
            let why = "the coinbase pays the recipients of fees: others of them need a restart";
            followed.failed.push(why.to_owned());
            return;
        }
        let waited = self.core.books.pending();
        // The file says nothing new: what miners were told by command since goes on. An order without a notice lies above
        // the file until it is read again.
        let unchanged = millpond_config::decides_alike(&self.sections.read().configured, &new.section);
        if unchanged && self.core.books.announced().is_some_and(told_by_command) {
            if let Err(why) = self.core.books.promise(new.wanted.notice, UnixMillis::now()) {
                followed.failed.push(format!("the notice that is promised stays: {why}"));
            }
            return;
        }
        let was_in_force = self.core.books.is_in_force(&new.wanted);
        match self.core.books.want(&new.wanted, actor, UnixMillis::now()) {
            Ok(scheduled) => {
                if scheduled {
                    self.core.suspend_untold();
                    // What was withdrawn leaves in force what was in force.
                    let at_once = self.core.books.is_in_force(&new.wanted) && !was_in_force;
                    let now = UnixMillis::now();
                    followed.done.push(self.takes_over((&new.wanted, at_once), waited.as_ref(), now));
                }
                promotion::pay_as(&mut self.sections.write().in_force, &new.section);
            }
            Err(why) => followed.failed.push(format!("the payout scheme or fee policy stays: {why}")),
        }
    }
}

fn told_by_command(notice: Notice) -> bool {
    !notice.by_file && notice.not_before > notice.announced
}

/// What of `[pool.stratum]` is in force once a running server has followed it: all but what its connections and ports were
/// built of.
fn limits_in_force(running: &Limits, new: &Limits) -> Limits {
    Limits {
        shares_per_minute: running.shares_per_minute,
        minimum_difficulty: running.minimum_difficulty,
        maximum_difficulty: running.maximum_difficulty,
        powers_of_two: running.powers_of_two,
        ipv6_prefix: running.ipv6_prefix,
        extranonce_prefix: running.extranonce_prefix,
        marketplaces: running.marketplaces,
        tcp_keepalive: running.tcp_keepalive,
        dialects: running.dialects.clone(),
        resume: running.resume,
        ..new.clone()
    }
}
