//! Lists of miners' numbers for fee policies, set by an operator: recorded in the journal before any decision sees them.

use crate::core::Core;
use crate::pool::Pool;
use millpond_journal::{Authority, List, ListRow};
use millpond_types::{MinerId, UnixMillis};
use std::collections::BTreeMap;

/// Rows of one order: it fits a line of the admin socket, and its record a frame.
const ROWS: usize = 10_000;
/// Characters of a list's name.
const NAME: usize = 64;

impl Pool {
    /// Sets a list, or with `change` these rows of it. Addresses that have not mined here are looked up and known from now
    /// on. Counts for what is found behind the newest share. Gives the number of rows. Blocks.
    ///
    /// # Errors
    /// When name, an address or the number of rows is none, or it could not be recorded: then nothing is changed.
    pub fn set_list(
        &self,
        name: &str,
        rows: &[(String, u64)],
        change: bool,
        actor: &str,
    ) -> Result<usize, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if !(1..=NAME).contains(&name.len()) || !name.chars().all(fits) {
            return Err(format!("a list's name is 1 to {NAME} of a-z, 0-9, -, _ and ., not {name:?}"));
        }
        if rows.len() > ROWS {
            let count = rows.len();
            return Err(format!("{count} rows, at most {ROWS} at once: give the rest with --change"));
        }
        let mut values: BTreeMap<MinerId, u64> = BTreeMap::new();
        for ((address, value), miner) in rows.iter().zip(miners(&self.core, rows)?) {
            if values.insert(miner, *value).is_some() {
                return Err(format!("{address} stands twice, or pays somebody who is in the list already"));
            }
        }
        let how = if change { "change" } else { "whole" };
        self.record_admin(actor, "list_set", &[name, how, &rows.len().to_string()])?;
        let list = List {
            name: name.to_owned(),
            whole: !change,
            rows: values.into_iter().map(|(miner, value)| ListRow { miner, value }).collect(),
            by: Authority::Operator(actor.to_owned()),
            time: UnixMillis::now(),
        };
        self.core.journal.record(list).wait().map_err(|why| format!("it could not be recorded: {why}"))?;
        Ok(rows.len())
    }
}

/// The miner of each row, whether he has mined here or not.
fn miners(core: &Core, rows: &[(String, u64)]) -> Result<Vec<MinerId>, String> {
    let known: Vec<Option<MinerId>> =
        rows.iter().map(|(address, _)| Some(core.journal.miner_by_address(address)?.id)).collect();
    let unknown: Vec<String> = rows
        .iter()
        .zip(&known)
        .filter(|(_, known)| known.is_none())
        .map(|((address, _), _)| address.clone())
        .collect();
    let mut found = Vec::new();
    if !unknown.is_empty() {
        let chain = core.chain().ok_or("the pool is ending")?;
        let version = chain.version().ok_or("the pool is not ready yet")?;
        let check = chain.trust().addresses.clone();
        let answers = millpond_chain::resolve(version.adapter.as_ref(), check.as_deref(), &unknown);
        for (address, answer) in unknown.iter().zip(answers.map_err(|why| why.to_string())?.value) {
            let payee = answer.map_err(|why| format!("{address}: {why}"))?;
            found.push(core.journal.miner(&payee.payee, &payee.address));
        }
        if found.len() < unknown.len() {
            return Err("the adapter did not answer for every address".to_owned());
        }
    }
    let mut found = found.into_iter();
    known
        .into_iter()
        .map(|known| match (known, known.is_none().then(|| found.next()).flatten()) {
            (Some(miner), _) => Ok(miner),
            (None, Some(durable)) => durable.wait().map_err(|why| why.to_string()),
            (None, None) => Err("the adapter did not answer for every address".to_owned()),
        })
        .collect()
}
