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
    config.limits.handshakes_per_source = usize::try_from(rules.handshakes_per_address).unwrap_or(usize::MAX);
    config.limits.handshakes =
        usize::try_from(rules.handshakes.max(rules.handshakes_per_address)).unwrap_or(usize::MAX);
    config.limits.ipv6_prefix = rules.ipv6_prefix;
    config.limits.bytes_per_second = f64::from(rules.bytes_per_second);
    config.limits.refused_work = f64::from(rules.refused_work);
    let mut networks = |name: &str, line: usize, list: &[String]| {
        let parsed = list.iter().filter_map(|text| match text.parse() {
            Ok(network) => Some(network),
            Err(why) => {
                errors.push(format!("line {line}: {name}: {why}"));
                None
            }
        });
        parsed.collect::<Vec<_>>()
    };
    config.limits.deny = networks("stratum.deny", rules.span.line, &rules.deny);
    config.limits.allow = networks("stratum.allow", rules.span.line, &rules.allow);
    config.extranonce.prefix =
        rules.extranonce_prefix.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    config.extranonce.marketplaces = rules.marketplaces;
    config.limits.line = usize::try_from(rules.line_bytes).unwrap_or(usize::MAX);
    config.limits.lines_per_second = f64::from(rules.lines_per_second);
    config.limits.burst = 2.0 * f64::from(rules.lines_per_second);
    config.limits.handshake = Span(rules.handshake);
    config.limits.idle = Span(rules.idle);
    config.keepalive = Span(rules.keepalive);
    config.tcp_keepalive = Span(rules.tcp_keepalive);
    config.agent_minimum.clone_from(&rules.agent_minimum);
    config.agent_difficulty.clone_from(&rules.agent_difficulty);
    config.ask_version = rules.ask_version;
    if section.chain.coinbase == "scheme" {
        config.coinbase_limit = millpond_stratum::coinbase_limit(&section.chain.coinbase_limit);
    }
    config.extranonce.resume = Span(rules.resume);
    config.bans.duration = Span(rules.ban);
    config.bans.longest = Span(rules.ban_longest.max(rules.ban));
    config.bans.half_life = Span(rules.ban_forgotten);
    config.bans.window = usize::try_from(rules.ban_window).unwrap_or(usize::MAX);
    config.bans.invalid_ratio = f64::from(rules.ban_percent) / 100.0;
    for port in &section.port {
        let (min, max) =
            if port.fixed { (Some(port.difficulty), Some(port.difficulty)) } else { (None, None) };
        let proxy_from = networks("port.proxy_from", port.span.line, &port.proxy_from);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rules: &str) -> Result<StratumConfig, SetupError> {
        let text = format!(
            "[host]\n[[pool]]\nname = \"x\"\n[pool.chain]\npayout_address = \"a\"\n[[pool.node]]\n\
             url = \"http://127.0.0.1:1\"\n[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1\n\
             [pool.payout]\n[pool.wallet]\n[pool.stratum]\n{rules}"
        );
        let config = millpond_config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        stratum(&config.pool[0])
    }

    #[test]
    fn many_miners_behind_one_address_do_not_lift_the_limit_on_strangers_who_do_not_log_in() {
        let limits = of("connections_per_address = 5000").unwrap().limits;
        assert_eq!((limits.connections_per_source, limits.handshakes_per_source), (5_000, 256));
        let limits = of("handshakes_per_address = 7").unwrap().limits;
        assert_eq!((limits.connections_per_source, limits.handshakes_per_source), (1_000, 7));
        let limits = of("handshakes_per_address = 5000").unwrap().limits;
        assert_eq!((limits.handshakes_per_source, limits.handshakes), (5_000, 5_000));
    }

    #[test]
    fn who_is_shut_out_and_who_is_never_banned_is_the_operators_to_say() {
        let config =
            of("deny = [\"198.51.100.0/24\"]\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nban_percent = 80")
                .unwrap();
        let shown = |networks: &[millpond_stratum::Network]| {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(&config.limits.deny), ["198.51.100.0/24"]);
        assert_eq!(shown(&config.limits.allow), ["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(config.bans.invalid_ratio, 0.8);
    }

    #[test]
    fn what_errors_tell_an_operator_to_set_can_be_set() {
        let config = of("extranonce_prefix = 3\nmarketplaces = true").unwrap().extranonce;
        assert_eq!((config.prefix, config.marketplaces), (Some(3), true));
        let refused = |config| millpond_stratum::Layout::new(6, &config).unwrap_err().to_string();
        assert!(refused(config.clone()).contains("marketplaces = false"));
        let wide = millpond_stratum::ExtranonceConfig { prefix: Some(9), marketplaces: false, ..config };
        assert!(refused(wide).contains("extranonce_prefix = 9"));
        for rules in [
            "deny = [\"x\"]",
            "ipv6_prefix = 200",
            "ban_percent = 101",
            "handshakes_per_address = 0",
            "connections_per_address = 0",
            "line_bytes = 1",
        ] {
            let told = of(rules).unwrap_err().to_string();
            let option = rules.split(' ').next().unwrap();
            assert!(told.contains(option) && told.contains("line 13"), "{told}");
        }
    }
}
