//! Administration of a running process: commands, scopes, tokens, confirmations and the local socket.
//!
//! Two doors lead to the same [`Desk`]: a Unix socket that only the process's own user can open, and HTTP with scoped
//! tokens. What changes money is done only when it is sent a second time with the code that the first time gave.
//! Every command that changes something is recorded by the [`Handler`] before it takes effect; this crate has no idea
//! of what the commands do.

mod command;
mod confirm;
mod desk;
mod socket;
mod tokens;

pub use command::{Command, Resolution, Role, Scope};
pub use desk::{Answer, Desk, Handler, Refused, Takes};
pub use socket::{AdminSocket, Callers, SocketError, ask, listen};
pub use tokens::{Token, Tokens, TokensError};
