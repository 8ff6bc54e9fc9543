//! Where schemes come from: natively, or as the components that a pool runs.

use crate::SimulateError;
use crate::columns::{self, Columns};
use crate::scenario::{FeeSection, Mode, Scenario, SchemeSection, is_path};
use millpond_config::settings;
use millpond_contracts::payout::{Allocation, Batch, FeePolicy, Income, PayoutScheme, State, Terms, Totals};
use millpond_contracts::{Outcome, Setting, Settings, load_fee_policy, load_scheme};
use millpond_native::OwnedCalls;
use millpond_report::SchemeHead;
use millpond_runtime::{LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use toml::Spanned;

/// As what schemes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// As native code.
    #[default]
    Native,
    /// As components.
    Wasm,
    /// As both, on one stream: what each call gives must be the same.
    Both,
}

/// Bundled schemes.
#[derive(Clone, Default)]
pub struct Plugins {
    sandbox: Option<Sandbox>,
}

/// Who is called.
#[derive(Clone)]
pub(crate) enum Caller {
    Owned(Arc<dyn OwnedCalls>),
    Component(Arc<dyn PayoutScheme>),
}

/// A scheme, ready to be called.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) caller: Caller,
    pub(crate) settings: Settings,
    pub(crate) terms: Terms,
    pub(crate) fees: Vec<LoadedFee>,
    /// Where a fee policy asks for some.
    pub(crate) columns: Option<Columns>,
    pub(crate) head: SchemeHead,
}

/// A fee policy, ready to be called.
#[derive(Clone)]
pub(crate) struct LoadedFee {
    pub(crate) name: String,
    pub(crate) plugin: Arc<dyn FeePolicy>,
    pub(crate) settings: Settings,
    /// What it asks for.
    pub(crate) columns: Vec<String>,
}

impl Caller {
    pub(crate) fn shared(&self) -> Arc<dyn PayoutScheme> {
        match self {
            Self::Owned(scheme) => Arc::clone(scheme) as Arc<dyn PayoutScheme>,
            Self::Component(scheme) => Arc::clone(scheme),
        }
    }

    pub(crate) fn allocate(
        &self,
        settings: &Settings,
        income: Income,
        windows: Vec<Totals>,
        state: State,
    ) -> Outcome<Allocation> {
        match self {
            Self::Owned(scheme) => scheme.allocate_owned(settings, income, windows, state),
            Self::Component(scheme) => scheme.allocate(settings, &income, &windows, &state),
        }
    }

    pub(crate) fn accrue(&self, settings: &Settings, batch: Batch, state: State) -> Outcome<Allocation> {
        match self {
            Self::Owned(scheme) => scheme.accrue_owned(settings, batch, state),
            Self::Component(scheme) => scheme.accrue(settings, &batch, &state),
        }
    }
}

impl Plugins {
    /// Native ones alone.
    #[must_use]
    pub fn native() -> Self {
        Self::default()
    }

    /// Those, and components in a sandbox.
    #[must_use]
    pub fn with_components(sandbox: Sandbox) -> Self {
        Self { sandbox: Some(sandbox) }
    }

    /// Loads what a section of the scenario names.
    pub(crate) fn load(
        &self,
        scenario: &Scenario,
        section: &SchemeSection,
        native: bool,
    ) -> Result<Loaded, SimulateError> {
        let name = section.shown().to_owned();
        let refuse = |message: String| SimulateError::Plugin { name: name.clone(), message };
        let known = millpond_native::SCHEMES.join(", ");
        let unknown =
            || refuse(format!("there is no bundled scheme {:?}; there are {known}", section.plugin));
        let native = native && !is_path(&section.plugin);
        let caller = if native {
            Caller::Owned(millpond_native::owned(&section.plugin).ok_or_else(unknown)?)
        } else {
            let known = |name: &str| millpond_native::SCHEMES.contains(&name);
            let bytes = component(&section.plugin, known).map_err(&refuse)?.ok_or_else(unknown)?;
            let (sandbox, sink) = self.sandbox(&name)?;
            let loaded = load_scheme(sandbox, &section.plugin, &bytes, &sink);
            Caller::Component(loaded.map_err(|source| SimulateError::Load { name: name.clone(), source })?)
        };
        let call = |source| SimulateError::Call { name: name.clone(), source };
        let plugin = caller.shared();
        let schema = plugin.schema().map_err(call)?.value;
        let settings = checked(scenario, &section.settings, &schema).map_err(&refuse)?;
        let terms = plugin.describe(&settings).map_err(call)?.value;
        if !section.fees.is_empty() && section.fee.millionths > 0 {
            return Err(refuse("it has a fee and fee policies: take one of them".to_owned()));
        }
        let one = |fee| self.load_fee(scenario, &name, fee, native);
        let fees: Vec<LoadedFee> = section.fees.iter().map(one).collect::<Result<_, _>>()?;
        let all = |fee: &LoadedFee| (fee.name.clone(), fee.plugin.digest(), fee.settings.clone());
        // With policies it is the digest of both.
        let bytes = match fees.is_empty() {
            true => serde_json::to_vec(&settings)?,
            false => serde_json::to_vec(&(&settings, fees.iter().map(all).collect::<Vec<_>>()))?,
        };
        let head = SchemeHead {
            name: name.clone(),
            component: plugin.digest(),
            native,
            settings: Digest::of(&bytes),
        };
        let asks = fees.iter().any(|fee: &LoadedFee| !fee.columns.is_empty());
        if asks && scenario.mode == Mode::Rounds {
            let message =
                "rounds mode keeps no statistics of miners for a fee policy, take mode = \"shares\"";
            return Err(refuse(message.to_owned()));
        }
        let columns = asks.then(|| Columns::new(scenario));
        Ok(Loaded { name, caller, settings, terms, fees, columns, head })
    }

    fn load_fee(
        &self,
        scenario: &Scenario,
        scheme: &str,
        section: &FeeSection,
        native: bool,
    ) -> Result<LoadedFee, SimulateError> {
        let name = section.policy.clone();
        let refuse = |message: String| SimulateError::Plugin { name: format!("{scheme}, {name}"), message };
        let unknown = || {
            let known = millpond_native::FEES.join(", ");
            refuse(format!("there is no bundled fee policy of this name; there are {known}"))
        };
        let plugin = if native && !is_path(&name) {
            millpond_native::fee(&name).ok_or_else(unknown)?
        } else {
            let known = |name: &str| millpond_native::FEES.contains(&name);
            let bytes = component(&name, known).map_err(&refuse)?.ok_or_else(unknown)?;
            let (sandbox, sink) = self.sandbox(&name)?;
            load_fee_policy(sandbox, &name, &bytes, &sink)
                .map_err(|source| SimulateError::Load { name: name.clone(), source })?
        };
        let call = |source| SimulateError::Call { name: name.clone(), source };
        let schema = plugin.schema().map_err(call)?.value;
        let settings = checked(scenario, &section.settings, &schema).map_err(&refuse)?;
        let columns = plugin.describe(&settings).map_err(call)?.value;
        if let Some(column) = columns.iter().find(|column| !columns::is_known(scenario, column)) {
            return Err(refuse(format!(
                "it asks for the column {column:?}; there are work, hashrate, workers, and list:NAME of each [lists.NAME]"
            )));
        }
        Ok(LoadedFee { name, plugin, settings, columns })
    }

    fn sandbox(&self, name: &str) -> Result<(&Sandbox, Arc<dyn LogSink>), SimulateError> {
        let message = "components need a sandbox".to_owned();
        let none = || SimulateError::Plugin { name: name.to_owned(), message };
        Ok((self.sandbox.as_ref().ok_or_else(none)?, Arc::new(TracingSink)))
    }
}

/// A component's bytes: of a file, or a bundled one that is of the kind that is looked for.
fn component(plugin: &str, known: impl Fn(&str) -> bool) -> Result<Option<Vec<u8>>, String> {
    if is_path(plugin) {
        let read = std::fs::read(plugin).map(Some);
        return read.map_err(|why| format!("{}: {why}", in_full(plugin).display()));
    }
    let bundled = millpond_bundled::get(plugin).filter(|plugin| known(plugin.name));
    Ok(bundled.map(|plugin| plugin.bytes.to_vec()))
}

/// A path as it was looked for: from the current folder.
fn in_full(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

/// Settings as a scheme is called with them: those that are given and its own defaults.
fn checked(
    scenario: &Scenario,
    section: &BTreeMap<String, Spanned<toml::Value>>,
    schema: &str,
) -> Result<Settings, String> {
    let place = |at: usize| scenario.line(at);
    let given: BTreeMap<_, _> = section
        .iter()
        .map(|(key, value)| (key.clone(), (value.get_ref().clone(), place(value.span().start))))
        .collect();
    let checked = settings::check(schema, &given).map_err(|errors| {
        let one = |error: &settings::SettingError| {
            let line = error.span.map_or_else(String::new, |span| format!("line {}: ", span.line));
            format!("{line}settings.{}: {}", error.name, error.message)
        };
        errors.iter().map(one).collect::<Vec<_>>().join("\n")
    })?;
    let one = |setting| match setting {
        settings::Setting::Text(text) => Setting::Text(text),
        settings::Setting::Int(number) => Setting::Int(number),
        settings::Setting::Flag(flag) => Setting::Flag(flag),
    };
    Ok(checked.into_iter().map(|(name, setting)| (name, one(setting))).collect())
}
