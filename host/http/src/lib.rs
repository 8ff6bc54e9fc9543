//! HTTP: the JSON API with OpenAPI, metrics, health and the dashboard page.
//!
//! Pages and the API only read; what changes something goes through [`AdminDoor`] or the local socket. A page or a scrape can
//! be slow, wrong or hostile without a share noticing: requests are limited by address, by size and by time, connections by
//! number and by their life, and the Host header is checked so that a foreign page in an operator's browser cannot reach a
//! loopback listener.

mod admin;
mod answers;
mod api;
mod connections;
mod guard;
mod metrics;
mod openapi;
mod page;
mod server;
mod source;

pub use admin::AdminDoor;
pub use guard::GuardOptions;
pub use metrics::render as render_metrics;
pub use millpond_stratum::{Network, NetworkError};
pub use openapi::document as openapi;
pub use server::{HttpError, HttpOptions, Server, Times, serve};
pub use source::Source;
