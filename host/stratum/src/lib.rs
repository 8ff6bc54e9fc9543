//! The Stratum V1 server: sockets, sessions, extranonces, vardiff, limits and bans.
