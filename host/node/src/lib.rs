//! Transports to coin nodes: JSON-RPC, long polling, ZMQ, failover, secrets.
