//! The sockets' configuration from a pool's section.

use crate::setup::SetupError;
use millpond_config::Pool as Section;
use millpond_stratum::{PortConfig, Span, StratumConfig, TlsConfig};

/// What the Stratum server is started with.
///
/// # Errors
/// Proxies that are no addresses or networks.
pub fn stratum(section: &Section) -> Result<StratumConfig, SetupError> {
    let rules = &section.stratum;
    let mut errors = Vec::new();
    let mut config = StratumConfig::default();
    config.vardiff.shares_per_minute = rules.shares_per_minute;
    config.vardiff.min = rules.minimum_difficulty;
    config.vardiff.max = rules.maximum_difficulty;
    config.vardiff.powers_of_two = rules.powers_of_two;
    config.limits.connections = usize::try_from(rules.connections).unwrap_or(usize::MAX);
    config.limits.connections_per_source =
        usize::try_from(rules.connections_per_address).unwrap_or(usize::MAX);
    config.limits.handshakes_per_source = config
        .limits
        .handshakes_per_source
        .max(config.limits.connections_per_source.min(config.limits.handshakes));
    config.limits.line = usize::try_from(rules.line_bytes).unwrap_or(usize::MAX);
    config.limits.lines_per_second = f64::from(rules.lines_per_second);
    config.limits.burst = 2.0 * f64::from(rules.lines_per_second);
    config.limits.handshake = Span(rules.handshake);
    config.limits.idle = Span(rules.idle);
    config.keepalive = Span(rules.keepalive);
    config.tcp_keepalive = Span(rules.tcp_keepalive);
    config.agent_minimum.clone_from(&rules.agent_minimum);
    config.extranonce.resume = Span(rules.resume);
    config.bans.duration = Span(rules.ban);
    for port in &section.port {
        let (min, max) =
            if port.fixed { (Some(port.difficulty), Some(port.difficulty)) } else { (None, None) };
        let mut proxy_from = Vec::new();
        for source in &port.proxy_from {
            match source.parse() {
                Ok(network) => proxy_from.push(network),
                Err(why) => {
                    errors.push(format!("line {}: port.proxy_from: {source:?}: {why}", port.span.line))
                }
            }
        }
        config.ports.push(PortConfig {
            listen: port.listen,
            start: Some(port.difficulty),
            min,
            max,
            dialect: port.dialect.clone(),
            proxy_from,
            tls: port
                .tls
                .as_ref()
                .map(|tls| TlsConfig { certificate: tls.certificate.clone(), key: tls.key.clone() }),
        });
    }
    errors.extend(config.problems().into_iter().map(|why| format!("line {}: {why}", rules.span.line)));
    if errors.is_empty() { Ok(config) } else { Err(SetupError(errors)) }
}
