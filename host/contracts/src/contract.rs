//! Which contract a component is for, whether it keeps it, and loading it: the same code for the pool and for
//! `millpond plugin check`.

use crate::chain::{ChainAdapter, Description, Optional, TransportKind};
use crate::payout::{FeePolicy, PayoutScheme};
use crate::since_0_1::chain::BoundAdapter;
use crate::since_0_1::payout::{FeeComponent, SchemeComponent};
use crate::since_0_1::vote::VoteComponent;
use crate::since_0_2;
use crate::vote::VotePolicy;
use crate::{CallError, Settings};
use millpond_runtime::{Class, Extern, Finding, LoadError, LogSink, Plugin, Report, Sandbox, clean, inspect};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A contract between host and plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// `millpond:chain`, world `chain-adapter`.
    ChainAdapter,
    /// `millpond:payout`, world `payout-scheme`.
    PayoutScheme,
    /// `millpond:payout`, world `fee`.
    FeePolicy,
    /// `millpond:vote`, world `vote-policy`.
    VotePolicy,
}

struct Interface {
    name: &'static str,
    functions: &'static [&'static str],
    need: Need,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
    /// In the contract, and not called by this host: silence would look like service.
    NotServed,
}

const fn required(name: &'static str, functions: &'static [&'static str]) -> Interface {
    Interface { name, functions, need: Need::Required }
}

const fn optional(name: &'static str, functions: &'static [&'static str]) -> Interface {
    Interface { name, functions, need: Need::Optional }
}

const fn not_served(name: &'static str, functions: &'static [&'static str]) -> Interface {
    Interface { name, functions, need: Need::NotServed }
}

const CHAIN: &[Interface] = &[
    required("adapter", &["schema", "describe", "handle"]),
    required("block", &["assemble", "read-reply"]),
    required("payee", &["resolve"]),
    required("settlement", &["plan-payment", "read-coins", "find"]),
    optional("pow", &["prepare", "run"]),
    not_served("codec", &["decode", "encode"]),
    not_served("session-work", &["consts"]),
    not_served("merge-parent", &["prove"]),
];
const SCHEME: &[Interface] =
    &[required("scheme", &["schema", "describe", "allocate"]), optional("accrual", &["accrue"])];
const FEE: &[Interface] = &[required("fee-policy", &["schema", "describe", "fees"])];
const VOTE: &[Interface] = &[required("policy", &["schema", "decide"])];

impl Contract {
    /// All contracts.
    pub const ALL: [Self; 4] = [Self::ChainAdapter, Self::PayoutScheme, Self::FeePolicy, Self::VotePolicy];

    /// The class its plugins are of.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::ChainAdapter => Class::Adapter,
            Self::PayoutScheme | Self::FeePolicy | Self::VotePolicy => Class::Strict,
        }
    }

    /// Its WIT package.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::ChainAdapter => "millpond:chain",
            Self::PayoutScheme | Self::FeePolicy => "millpond:payout",
            Self::VotePolicy => "millpond:vote",
        }
    }

    /// The minor versions of the package that this host serves (their major is 0), the newest first.
    const fn minors(self) -> &'static [u64] {
        match self {
            Self::PayoutScheme => &[2, 1],
            Self::ChainAdapter | Self::FeePolicy | Self::VotePolicy => &[1],
        }
    }

    /// The minor version that a component is for: the newest whose first interface it exports. The newest of all for one
    /// that exports none.
    fn minor(self, report: &Report) -> u64 {
        let exports = |minor: &u64| report.exports.iter().any(|export| self.is(export, self.first(), *minor));
        let newest = self.minors().first();
        self.minors().iter().find(|minor| exports(minor)).or(newest).copied().unwrap_or(1)
    }

    /// Its world.
    #[must_use]
    pub const fn world(self) -> &'static str {
        match self {
            Self::ChainAdapter => "chain-adapter",
            Self::PayoutScheme => "payout-scheme",
            Self::FeePolicy => "fee",
            Self::VotePolicy => "vote-policy",
        }
    }

    fn interfaces(self) -> &'static [Interface] {
        match self {
            Self::ChainAdapter => CHAIN,
            Self::PayoutScheme => SCHEME,
            Self::FeePolicy => FEE,
            Self::VotePolicy => VOTE,
        }
    }

    /// The interface that tells this contract from the others.
    fn first(self) -> &'static str {
        self.interfaces().first().map_or("", |interface| interface.name)
    }

    fn full(self, interface: &str, minor: u64) -> String {
        format!("{}/{interface}@0.{minor}.0", self.package())
    }

    /// Whether an export or import is this interface in this version: same major and minor.
    fn is(self, found: &Extern, interface: &str, minor: u64) -> bool {
        found.parts().is_some_and(|(package, name, version)| {
            package == self.package() && name == interface && (version.major, version.minor) == (0, minor)
        })
    }

    /// The contract that a component's exports point to, of any version.
    #[must_use]
    pub fn of(report: &Report) -> Option<Self> {
        Self::ALL.into_iter().find(|contract| {
            let start = format!("{}/{}", contract.package(), contract.first());
            let is = |export: &Extern| export.name.split('@').next() == Some(start.as_str());
            report.exports.iter().any(is)
        })
    }

    /// What keeps a component from this contract, by its imports and exports alone.
    #[must_use]
    pub fn findings(self, report: &Report) -> Vec<Finding> {
        let mut findings = Vec::new();
        let minor = self.minor(report);
        for interface in self.interfaces() {
            let exported = report.exports.iter().find(|export| self.is(export, interface.name, minor));
            let Some(exported) = exported else {
                let path = format!("{}/{}", self.package(), interface.name);
                let other = report.exports.iter().find(|export| export.name.split('@').next() == Some(&path));
                match other {
                    Some(other) => findings.push(Finding::WrongVersion {
                        found: clean(&other.name, 200),
                        known: self.full(interface.name, minor),
                    }),
                    None if interface.need == Need::Required => {
                        findings.push(Finding::MissingExport { name: self.full(interface.name, minor) });
                    }
                    None => {}
                }
                continue;
            };
            if interface.need == Need::NotServed {
                findings.push(Finding::NotServed { name: clean(&exported.name, 200) });
            }
            for function in interface.functions {
                if !exported.functions.iter().any(|found| found == function) {
                    let name = format!("{}#{function}", self.full(interface.name, minor));
                    findings.push(Finding::MissingExport { name });
                }
            }
        }
        if self == Self::ChainAdapter {
            // The strict class's imports are the inspection's matter: there are none.
            for import in
                report.imports.iter().filter(|import| !import.types_only && !self.is(import, "host", minor))
            {
                let name = clean(&import.name, 200);
                findings.push(Finding::UnknownImport {
                    name,
                    allowed: format!("an adapter may import {}", self.full("host", minor)),
                });
            }
        }
        findings
    }
}

impl fmt::Display for Contract {
    /// Package and world, of any version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.package(), self.world())
    }
}

/// What a check of a component says.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The contract it is for, when its exports tell.
    pub contract: Option<Contract>,
    /// What it is made of, with everything that does not fit in `findings`.
    pub report: Report,
}

impl Checked {
    /// The world that it is for, with the version: what plugins name in their Cargo metadata.
    #[must_use]
    pub fn world(&self) -> Option<String> {
        self.contract.map(|contract| contract.full(contract.world(), contract.minor(&self.report)))
    }

    /// Whether it would be loaded.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.report.findings.is_empty()
    }
}

/// The static part of a check: nothing is compiled.
#[must_use]
pub fn check_static(wasm: &[u8]) -> Checked {
    let mut report = inspect(wasm, Class::Adapter);
    let contract = Contract::of(&report);
    match contract {
        Some(contract) => {
            if contract.class() != Class::Adapter {
                report = inspect(wasm, contract.class());
            }
            // Without exports (floats, invalid) the contract has nothing to say.
            if !report.exports.is_empty() {
                let more = contract.findings(&report);
                report.findings.extend(more);
            }
        }
        None if report.findings.is_empty() => {
            let names =
                Contract::ALL.map(|contract| contract.full(contract.first(), contract.minor(&report)));
            report.findings.push(Finding::MissingExport { name: format!("one of {}", names.join(", ")) });
        }
        None => {}
    }
    Checked { contract, report }
}

/// The whole check: static, compiled, and every import and export of the contract's own type.
///
/// # Errors
/// When the component passes the static checks and yet does not compile within limits.
pub fn check(
    sandbox: &Sandbox,
    name: &str,
    wasm: &[u8],
    sink: &Arc<dyn LogSink>,
) -> Result<Checked, LoadError> {
    let mut checked = check_static(wasm);
    let (Some(contract), true) = (checked.contract, checked.fits()) else { return Ok(checked) };
    let plugin = sandbox.load(name, wasm, contract.class())?;
    let bound = match contract {
        Contract::ChainAdapter => BoundAdapter::bind(&plugin, exported(&checked.report), sink).map(drop),
        Contract::PayoutScheme => scheme(&plugin, sink).map(drop),
        Contract::FeePolicy => FeeComponent::bind(&plugin, sink).map(drop),
        Contract::VotePolicy => VoteComponent::bind(&plugin, sink).map(drop),
    };
    if let Err(error) = bound {
        checked.report.findings.push(wrong_type(&error));
    }
    Ok(checked)
}

fn wrong_type(error: &wasmtime::Error) -> Finding {
    let text = clean(&format!("{error:#}"), 1024);
    if error.is::<wasmtime::Trap>() {
        return Finding::Invalid(format!("it traps when an instance is made: {text}"));
    }
    Finding::WrongType(text)
}

fn exported(report: &Report) -> Optional {
    let has =
        |interface: &str| report.exports.iter().any(|export| Contract::ChainAdapter.is(export, interface, 1));
    Optional {
        pow: has("pow"),
        codec: has("codec"),
        session_work: has("session-work"),
        merge_parent: has("merge-parent"),
    }
}

/// Binds a scheme by the version that it is for.
fn scheme(plugin: &Plugin, sink: &Arc<dyn LogSink>) -> wasmtime::Result<Arc<dyn PayoutScheme>> {
    let report = plugin.report();
    let minor = Contract::PayoutScheme.minor(report);
    let accrues = report.exports.iter().any(|export| Contract::PayoutScheme.is(export, "accrual", minor));
    Ok(match minor {
        1 => Arc::new(SchemeComponent::bind(plugin, accrues, sink)?),
        _ => Arc::new(since_0_2::payout::SchemeComponent::bind(plugin, accrues, sink)?),
    })
}

/// Loads a component that must be of this contract, with everything [`check`] finds as the error.
fn load(sandbox: &Sandbox, name: &str, wasm: &[u8], contract: Contract) -> Result<Plugin, LoadError> {
    let report = inspect(wasm, contract.class());
    let mut findings = report.findings.clone();
    if findings.is_empty() {
        findings = contract.findings(&report);
    }
    if !findings.is_empty() {
        return Err(LoadError::Unfit(findings));
    }
    sandbox.load(name, wasm, contract.class())
}

fn unfit(error: &wasmtime::Error) -> LoadError {
    LoadError::Unfit(vec![wrong_type(error)])
}

/// Loads a payout scheme.
///
/// # Errors
/// When the component does not keep the contract.
pub fn load_scheme(
    sandbox: &Sandbox,
    name: &str,
    wasm: &[u8],
    sink: &Arc<dyn LogSink>,
) -> Result<Arc<dyn PayoutScheme>, LoadError> {
    let plugin = load(sandbox, name, wasm, Contract::PayoutScheme)?;
    scheme(&plugin, sink).map_err(|error| unfit(&error))
}

/// Loads a fee policy.
///
/// # Errors
/// When the component does not keep the contract.
pub fn load_fee_policy(
    sandbox: &Sandbox,
    name: &str,
    wasm: &[u8],
    sink: &Arc<dyn LogSink>,
) -> Result<Arc<dyn FeePolicy>, LoadError> {
    let plugin = load(sandbox, name, wasm, Contract::FeePolicy)?;
    Ok(Arc::new(FeeComponent::bind(&plugin, sink).map_err(|error| unfit(&error))?))
}

/// Loads a vote policy.
///
/// # Errors
/// When the component does not keep the contract.
pub fn load_vote_policy(
    sandbox: &Sandbox,
    name: &str,
    wasm: &[u8],
    sink: &Arc<dyn LogSink>,
) -> Result<Arc<dyn VotePolicy>, LoadError> {
    let plugin = load(sandbox, name, wasm, Contract::VotePolicy)?;
    Ok(Arc::new(VoteComponent::bind(&plugin, sink).map_err(|error| unfit(&error))?))
}

/// A chain adapter that is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The component does not keep the contract.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not work with these settings.
    #[error("the adapter refuses its settings: {0}")]
    Settings(CallError),
    /// It describes itself with something that this host does not do.
    #[error("not served: {0}")]
    NotServed(String),
}

/// What an adapter's description counts on and this host does not do: adapters in whose silence a chain would be lost
/// are refused when they are loaded.
///
/// # Errors
/// The first such thing.
pub fn served(description: &Description) -> Result<(), String> {
    let known = |kind| matches!(kind, TransportKind::JsonrpcHttp | TransportKind::ZmqSub);
    if let Some(other) = description.transports.iter().find(|transport| !known(transport.kind)) {
        let name = clean(&other.name, 64);
        return Err(format!(
            "the transport {name:?} is {:?}, and this host speaks jsonrpc-http and zmq-sub to nodes so far",
            other.kind
        ));
    }
    if description.settlement.starts_with("signer:") {
        let name = clean(&description.settlement, 64);
        return Err(format!(
            "the settlement driver {name:?} is not there yet: name `jsonrpc-sendmany`, or `none`"
        ));
    }
    Ok(())
}

/// Loads a chain adapter and has it describe itself under its settings.
///
/// # Errors
/// When the component does not keep the contract, or does not describe itself.
pub fn load_adapter(
    sandbox: &Sandbox,
    name: &str,
    wasm: &[u8],
    settings: &Settings,
    sink: &Arc<dyn LogSink>,
) -> Result<Arc<dyn ChainAdapter>, AdapterError> {
    let plugin = load(sandbox, name, wasm, Contract::ChainAdapter)?;
    let bound =
        BoundAdapter::bind(&plugin, exported(plugin.report()), sink).map_err(|error| unfit(&error))?;
    let adapter = bound.with_settings(settings).map_err(AdapterError::Settings)?;
    served(adapter.description()).map_err(AdapterError::NotServed)?;
    Ok(Arc::new(adapter))
}

/// The JSON Schema of any plugin's configuration section.
///
/// # Errors
/// When the component keeps no contract, or its `schema` fails.
pub fn schema(
    sandbox: &Sandbox,
    name: &str,
    wasm: &[u8],
    sink: &Arc<dyn LogSink>,
) -> Result<String, AdapterError> {
    let checked = check_static(wasm);
    let done = match checked.contract {
        Some(Contract::ChainAdapter) => {
            let plugin = load(sandbox, name, wasm, Contract::ChainAdapter)?;
            let bound = BoundAdapter::bind(&plugin, exported(plugin.report()), sink);
            bound.map_err(|error| unfit(&error))?.schema()
        }
        Some(Contract::PayoutScheme) => load_scheme(sandbox, name, wasm, sink)?.schema(),
        Some(Contract::FeePolicy) => load_fee_policy(sandbox, name, wasm, sink)?.schema(),
        Some(Contract::VotePolicy) => load_vote_policy(sandbox, name, wasm, sink)?.schema(),
        None => return Err(LoadError::Unfit(checked.report.findings).into()),
    };
    done.map(|done| done.value).map_err(AdapterError::Settings)
}
