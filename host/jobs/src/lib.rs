//! The table of live jobs, shared between the chain and the miners' sessions.
