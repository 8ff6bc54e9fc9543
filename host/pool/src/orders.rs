//! What operators order beside payments and swaps: bans, words to miners, a plugin's release. And the record of every
//! order, made before it takes effect: in the journal's hash chain, and in the ledger's, where `ledger export` shows it.

use crate::policy::FEE_ROLES;
use crate::pool::Pool;
use millpond_admin::Role;
use millpond_disk::Disk;
use millpond_journal::Admin;
use millpond_ledger::{Entry, Ledger, LedgerError};
use millpond_stratum::{Ban, SessionInfo};
use millpond_types::UnixMillis;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A note of the ledger holds so many bytes of details.
const DETAIL: usize = 1_000;
/// Characters of a message to miners: what the screens of their software show.
const MESSAGE: usize = 200;
/// The longest name of a host (RFC 1035).
const HOST: usize = 253;
/// The longest pause before miners reconnect, in seconds.
const LONGEST_WAIT: u64 = 3_600;

/// The ledger's note of an action.
fn note(who: &str, what: &str, args: &[&str]) -> Entry {
    let kept = |text: &str| {
        let end = (0..=text.len().min(DETAIL)).rev().find(|end| text.is_char_boundary(*end));
        match text.get(..end.unwrap_or(0)).map(str::trim) {
            None | Some("") => "-".to_owned(),
            Some(text) => text.to_owned(),
        }
    };
    Entry::Noted { by: kept(who), action: kept(what), detail: kept(&args.join(" ")) }
}

/// Notes an action in the ledger of a pool that is not running. The caller has the data folder's lock.
///
/// # Errors
/// When the ledger cannot be opened or written.
pub fn note_at_rest(
    disk: Arc<dyn Disk>,
    ledger: &Path,
    (who, what): (&str, &str),
    args: &[&str],
) -> Result<(), LedgerError> {
    Ledger::open(disk, ledger)?.append(UnixMillis::now(), note(who, what, args)).map(drop)
}

impl Pool {
    /// Records what an operator does, before it takes effect: in the journal's hash chain, then in the ledger's. Blocks.
    ///
    /// # Errors
    /// When it could not be recorded: then it is not to be done.
    pub fn record_admin(&self, who: &str, what: &str, args: &[&str]) -> Result<(), String> {
        let now = UnixMillis::now();
        let record = Admin {
            who: who.to_owned(),
            what: what.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            time: now,
        };
        let wrong =
            |why: &dyn std::fmt::Display| format!("it could not be recorded, so it was not done: {why}");
        self.core.journal.record(record).wait().map_err(|why| wrong(&why))?;
        self.core.ledger.append(now, note(who, what, args)).map(drop).map_err(|why| wrong(&why))
    }

    /// The sessions of miners, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.server.sessions()
    }

    /// Shows a text on miners' screens, where their dialect can. Gives the open connections. Blocks.
    ///
    /// # Errors
    /// When the text is none, or the order could not be recorded.
    pub fn message(&self, text: &str, actor: &str) -> Result<usize, String> {
        let fits = (1..=MESSAGE).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if !fits {
            return Err(format!("a message is 1 to {MESSAGE} characters on one line"));
        }
        self.record_admin(actor, "miners_message", &[text])?;
        self.server.message(text);
        Ok(self.server.connections())
    }

    /// Sends all miners elsewhere after a pause of seconds, where their dialect can. Gives the open connections. Blocks.
    ///
    /// # Errors
    /// When the place is none, or the order could not be recorded.
    pub fn reconnect(&self, host: &str, port: u16, wait: u64, actor: &str) -> Result<usize, String> {
        let usual = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty() || host.len() > HOST || !host.chars().all(usual) {
            return Err(format!("{host:?} is no name or address of a host"));
        }
        if port == 0 || wait > LONGEST_WAIT {
            return Err(format!("a port is 1 to 65535, a pause at most {LONGEST_WAIT} seconds"));
        }
        self.record_admin(actor, "miners_reconnect", &[host, &port.to_string(), &wait.to_string()])?;
        self.server.reconnect(host, port, Duration::from_secs(wait));
        Ok(self.server.connections())
    }

    /// The bans in force, longest first.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        self.server.bans()
    }

    /// Bans an address (its network, for IPv6) and hangs up on it. Gives for how long. Blocks.
    ///
    /// # Errors
    /// When the order could not be recorded.
    pub fn ban(&self, address: IpAddr, actor: &str) -> Result<Ban, String> {
        let source = self.server.source(address);
        self.record_admin(actor, "bans_add", &[&source.to_string()])?;
        self.server.ban(source);
        let made = self.server.bans().into_iter().find(|ban| ban.source == source);
        made.ok_or_else(|| format!("{source} could not be banned: stratum.ban is 0"))
    }

    /// Ends a ban, and forgets the address's past. Blocks.
    ///
    /// # Errors
    /// When it is not banned, or the order could not be recorded.
    pub fn lift_ban(&self, address: IpAddr, actor: &str) -> Result<(), String> {
        let source = self.server.source(address);
        if !self.server.bans().iter().any(|ban| ban.source == source) {
            return Err(format!("{source} is not banned; `millpond bans list` shows who is"));
        }
        self.record_admin(actor, "bans_lift", &[&source.to_string()])?;
        self.server.lift_ban(source);
        Ok(())
    }

    /// Lets a plugin out of quarantine: it is asked again, with no strikes against it. Blocks.
    ///
    /// # Errors
    /// When it is not in quarantine, or the order could not be recorded.
    pub fn release_plugin(&self, role: Role, actor: &str) -> Result<String, String> {
        let role_name = crate::show::role_name(role);
        let chain = self.core.chain().ok_or("the pool is ending")?;
        let stopped = |digest| match role {
            Role::Adapter => chain.status().quarantined.is_some(),
            Role::Scheme | Role::Fee => self.core.books.quarantined(digest).is_some(),
        };
        // Of several fee policies the one that is meant is the one that was stopped.
        let plugins: Vec<_> = {
            let roles = self.shown_roles();
            let is_it = |known: &str| match role {
                Role::Fee => FEE_ROLES.contains(&known),
                Role::Adapter | Role::Scheme => known == role_name,
            };
            roles.iter().filter(|(known, _)| is_it(known)).map(|(_, plugin)| plugin.clone()).collect()
        };
        let found = plugins.iter().find(|(_, digest)| stopped(*digest)).cloned();
        let Some((name, digest)) = found else {
            let names: Vec<&str> = plugins.iter().map(|(name, _)| name.as_str()).collect();
            return Err(match names.is_empty() {
                true => format!("the pool has no {role_name} plugin"),
                false => format!("the {role_name} {} is not in quarantine", names.join(", ")),
            });
        };
        self.record_admin(actor, "plugin_release", &[role_name, &name, &digest.to_string()])?;
        match role {
            Role::Adapter => chain.release(),
            Role::Scheme | Role::Fee => self.core.books.release(digest),
        }
        Ok(format!("{role_name} {name} is asked again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_the_ledger_whatever_it_is_about() {
        let long = "ü".repeat(900);
        for (args, detail) in [(vec![], "-".to_owned()), (vec![long.as_str()], "ü".repeat(500))] {
            let entry = note("local:op", "plugin_swap", &args);
            let expected =
                Entry::Noted { by: "local:op".to_owned(), action: "plugin_swap".to_owned(), detail };
            assert_eq!(entry, expected);
        }
    }
}
