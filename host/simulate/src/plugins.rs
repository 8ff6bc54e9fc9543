//! Where schemes come from: natively, or as the components that a pool runs.

use crate::SimulateError;
use crate::scenario::{Scenario, SchemeSection};
use millpond_config::settings;
use millpond_contracts::payout::{Allocation, Batch, Income, PayoutScheme, State, Terms, Totals};
use millpond_contracts::{Outcome, Setting, Settings, load_scheme};
use millpond_native::OwnedCalls;
use millpond_report::SchemeHead;
use millpond_runtime::{LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    pub(crate) head: SchemeHead,
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
        let caller = if native {
            Caller::Owned(millpond_native::owned(&section.plugin).ok_or_else(unknown)?)
        } else {
            let bundled = millpond_bundled::get(&section.plugin)
                .filter(|plugin| millpond_native::SCHEMES.contains(&plugin.name))
                .ok_or_else(unknown)?;
            let sandbox =
                self.sandbox.as_ref().ok_or_else(|| refuse("components need a sandbox".to_owned()))?;
            let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
            let loaded = load_scheme(sandbox, &section.plugin, bundled.bytes, &sink);
            Caller::Component(loaded.map_err(|source| SimulateError::Load { name: name.clone(), source })?)
        };
        let call = |source| SimulateError::Call { name: name.clone(), source };
        let plugin = caller.shared();
        let schema = plugin.schema().map_err(call)?.value;
        let settings = checked(scenario, section, &schema).map_err(&refuse)?;
        let terms = plugin.describe(&settings).map_err(call)?.value;
        let head = SchemeHead {
            name: name.clone(),
            component: plugin.digest(),
            native,
            settings: Digest::of(&serde_json::to_vec(&settings)?),
        };
        Ok(Loaded { name, caller, settings, terms, head })
    }
}

/// Settings as a scheme is called with them: those that are given and its own defaults.
fn checked(scenario: &Scenario, section: &SchemeSection, schema: &str) -> Result<Settings, String> {
    let place = |at: usize| scenario.line(at);
    let given: BTreeMap<_, _> = section
        .settings
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
