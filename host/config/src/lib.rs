//! The operator's configuration: one table of options gives the parser, the validation, the help and the example.
//!
//! A file is read as a whole: every error in it is found at once and carries its line. This crate starts nothing,
//! opens nothing but the file, and knows no coin: what a plugin understands is checked against the plugin's own
//! JSON Schema by [`settings`].

mod difference;
mod error;
mod example;
mod load;
mod reader;
mod sections;
pub mod settings;
mod values;

pub use difference::{Difference, decides_alike, differences};
pub use error::{ConfigError, ConfigErrors};
pub use example::{example, reference};
pub use load::{load, parse};
pub use reader::OneOrMore;
pub use sections::{
    Alert, Backup, Chain, Config, Fee, FeeRecipient, Host, Http, Node, Payout, Pool, Port, Reserve,
    Retention, Settlement, Stratum, Tls, Wallet,
};
pub use settings::Settings;
pub use values::{Secret, Span};
