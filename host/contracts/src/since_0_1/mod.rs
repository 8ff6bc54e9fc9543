//! The contracts as of 0.1, frozen: generated bindings, and their mapping to and from the core types.
//!
//! Nothing generated leaves this module. A later WIT version gets a module of its own beside this one.

pub(crate) mod chain;
pub(crate) mod chain_host;
mod chain_map;
pub(crate) mod fresh;
pub(crate) mod payout;
mod pow;
pub(crate) mod signatures;
pub(crate) mod vote;

/// Maps the settings into a generated variant; every package declares its own.
macro_rules! settings_to {
    ($generated:ident, $settings:expr) => {
        $settings
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    $crate::Setting::Text(text) => $generated::Setting::Text(text.clone()),
                    $crate::Setting::Int(int) => $generated::Setting::Int(*int),
                    $crate::Setting::Flag(flag) => $generated::Setting::Flag(*flag),
                };
                (key.clone(), value)
            })
            .collect::<Vec<_>>()
    };
}
pub(crate) use settings_to;

/// The bytes of settings: they count as input.
pub(crate) fn settings_size(settings: &crate::Settings) -> usize {
    let text = |value: &crate::Setting| match value {
        crate::Setting::Text(text) => text.len(),
        crate::Setting::Int(_) | crate::Setting::Flag(_) => 8,
    };
    settings.iter().map(|(key, value)| key.len() + text(value)).sum()
}

/// The size of a call's input.
pub(crate) fn size(bytes: usize, rows: usize) -> millpond_runtime::CallSize {
    millpond_runtime::CallSize {
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        rows: u64::try_from(rows).unwrap_or(u64::MAX),
    }
}
