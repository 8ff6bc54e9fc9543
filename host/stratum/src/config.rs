//! Configuration of a pool's Stratum server: plain data, embedded in the pool's own configuration.

use crate::bans::BanConfig;
use crate::extranonce::ExtranonceConfig;
use crate::limits::LimitsConfig;
use crate::limits::Network;
use crate::span::Span;
use crate::tls::TlsConfig;
use crate::vardiff::VardiffConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A pool's Stratum V1 server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StratumConfig {
    /// Where to listen. Empty: nowhere.
    pub ports: Vec<PortConfig>,
    /// Difficulty of all ports that say nothing else.
    pub vardiff: VardiffConfig,
    /// Connections, lines, deadlines.
    pub limits: LimitsConfig,
    /// Who is shut out, and for how long.
    pub bans: BanConfig,
    /// How the search space is divided among sessions.
    pub extranonce: ExtranonceConfig,
    /// A miner that has got nothing for this long gets a sign of life, its job again or its difficulty: miners
    /// disconnect after 90 s (cgminer), 120 s (cpuminer) or 180 s (ESP-Miner) of silence.
    pub keepalive: Span,
    /// What a session may roll of each field that a dialect negotiates, as hex: the recipe's field to its mask. For
    /// Bitcoin `mask = "1fffe000"` (BIP 320).
    pub masks: BTreeMap<String, String>,
    /// The least difficulty by user agent (its beginning; the longest that fits), such as `"NiceHash/" = 500000`.
    pub agent_minimum: BTreeMap<String, f64>,
    /// Where a session starts by user agent, likewise, such as `"cpuminer" = 0.001`: before what its port says, and behind
    /// what the miner asks for and where he was last. The limits of the port and [`StratumConfig::agent_minimum`] hold.
    pub agent_difficulty: BTreeMap<String, f64>,
    /// Asks each miner once after its login what it is, where its dialect can (`client.get_version`); the answer is shown
    /// in the list of sessions.
    pub ask_version: bool,
    /// What a coinbase of this pool may come to, in bytes without its witness: miners whose firmware is known to take less
    /// get no work and are told why. `None` leaves it at telling the operator.
    pub coinbase_limit: Option<usize>,
    /// A connection on which nothing moved for this long is asked by TCP itself whether its peer still lives: a miner
    /// behind a router that lost power gives his place back in minutes, not after `limits.idle`. 0 leaves it out.
    pub tcp_keepalive: Span,
    /// At a graceful stop, shares on their way get this long to be recorded and answered.
    pub drain: Span,
}

impl Default for StratumConfig {
    fn default() -> Self {
        Self {
            ports: Vec::new(),
            vardiff: VardiffConfig::default(),
            limits: LimitsConfig::default(),
            bans: BanConfig::default(),
            extranonce: ExtranonceConfig::default(),
            keepalive: Span::secs(45),
            masks: BTreeMap::new(),
            agent_minimum: BTreeMap::new(),
            agent_difficulty: BTreeMap::new(),
            ask_version: false,
            coinbase_limit: None,
            tcp_keepalive: Span::secs(120),
            drain: Span::secs(5),
        }
    }
}

/// One listening port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    /// Address and port, such as `0.0.0.0:3333`.
    pub listen: SocketAddr,
    /// Difficulty that sessions start with here.
    #[serde(default)]
    pub start: Option<f64>,
    /// No difficulty below, here.
    #[serde(default)]
    pub min: Option<f64>,
    /// No difficulty above, here.
    #[serde(default)]
    pub max: Option<f64>,
    /// A dialect by name, for machines that do not name themselves; otherwise the user agent chooses.
    #[serde(default)]
    pub dialect: Option<String>,
    /// Addresses and networks of proxies whose PROXY header is believed on this port. Empty: the PROXY protocol is not
    /// spoken here.
    #[serde(default)]
    pub proxy_from: Vec<Network>,
    /// Speaks TLS with this certificate.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

impl PortConfig {
    /// A plain port with nothing of its own.
    #[must_use]
    pub fn plain(listen: SocketAddr) -> Self {
        Self { listen, start: None, min: None, max: None, dialect: None, proxy_from: Vec::new(), tls: None }
    }

    /// The pool's vardiff with what this port says.
    #[must_use]
    pub fn vardiff(&self, pool: &VardiffConfig) -> VardiffConfig {
        VardiffConfig {
            start: self.start.unwrap_or(pool.start),
            min: self.min.unwrap_or(pool.min),
            max: self.max.unwrap_or(pool.max),
            ..pool.clone()
        }
    }
}

impl StratumConfig {
    /// All that is wrong with the values, one sentence each; empty when the server can start. What needs the recipe
    /// or files (extranonce, certificates, dialects) is checked at start.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        // Named as the pool's section names them.
        for port in &self.ports {
            let problem = port.vardiff(&self.vardiff).problem();
            problems.extend(problem.map(|text| format!("the port {}: {text}", port.listen)));
        }
        problems.extend(self.vardiff.problem().map(|text| format!("stratum.{text}")));
        let limits = &self.limits;
        if !(1024..=65_536).contains(&limits.line) {
            problems.push(format!("stratum.line_bytes = {} must be 1024 to 65536 bytes", limits.line));
        }
        for (name, value) in [
            ("connections", limits.connections),
            ("connections_per_address", limits.connections_per_source),
            ("handshakes", limits.handshakes),
            ("handshakes_per_address", limits.handshakes_per_source),
            ("shares_in_flight", limits.shares_in_flight),
        ] {
            if value == 0 {
                problems.push(format!("stratum.{name} must be at least 1"));
            }
        }
        for (name, value) in [
            ("lines_per_second", limits.lines_per_second),
            ("burst", limits.burst),
            ("refused_work", limits.refused_work),
        ] {
            if !value.is_finite() || value < 1.0 {
                problems.push(format!("stratum.{name} = {value} must be at least 1"));
            }
        }
        if !(0.0..=1.0).contains(&self.bans.invalid_ratio) {
            let percent = self.bans.invalid_ratio * 100.0;
            problems.push(format!("stratum.ban_percent = {percent} must be 0 to 100"));
        }
        if !(1..=128).contains(&limits.ipv6_prefix) {
            problems.push(format!("stratum.ipv6_prefix = {} must be 1 to 128", limits.ipv6_prefix));
        }
        if self.keepalive.0.is_zero() {
            problems.push("stratum.keepalive must be above 0; 30 to 60 s suit all miners".to_owned());
        }
        for (field, mask) in &self.masks {
            if hex::decode(mask).is_err() {
                problems.push(format!("stratum.masks.{field} = {mask:?} is not hex"));
            }
        }
        for (name, table) in
            [("agent_minimum", &self.agent_minimum), ("agent_difficulty", &self.agent_difficulty)]
        {
            for (agent, difficulty) in table {
                if !difficulty.is_finite() || *difficulty <= 0.0 {
                    problems
                        .push(format!("stratum.{name}.{agent:?} = {difficulty} must be a positive number"));
                }
            }
        }
        problems
    }
}

impl StratumConfig {
    /// What a running server goes on with when the configuration has become another: what can change under connections does,
    /// and the rest stays until the next start. Which prefixes are divided how, what a source is, where ports listen and what
    /// their vardiff aims at are in what connections were built of.
    pub(crate) fn followed_by(&self, new: &Self) -> Self {
        Self {
            limits: LimitsConfig { ipv6_prefix: self.limits.ipv6_prefix, ..new.limits.clone() },
            bans: new.bans.clone(),
            keepalive: new.keepalive,
            agent_minimum: new.agent_minimum.clone(),
            agent_difficulty: new.agent_difficulty.clone(),
            ask_version: new.ask_version,
            drain: new.drain,
            ..self.clone()
        }
    }
}

/// What a table says of a user agent: of all beginnings that fit, the longest, so that one machine can be told apart from
/// the others of its maker.
pub(crate) fn by_agent(table: &BTreeMap<String, f64>, agent: &str) -> Option<f64> {
    let fitting = table.iter().filter(|(beginning, _)| agent.starts_with(beginning.as_str()));
    fitting.max_by_key(|(beginning, _)| beginning.len()).map(|(_, difficulty)| *difficulty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_a_working_configuration() {
        let config: StratumConfig = toml::from_str("").unwrap();
        assert_eq!(config, StratumConfig::default());
        assert_eq!(config.problems(), Vec::<String>::new());
    }

    #[test]
    fn a_section_reads_as_an_operator_writes_it() {
        let text = r#"
            keepalive = "30s"
            masks = { mask = "1fffe000" }
            agent_minimum = { "NiceHash/" = 500000 }
            [[ports]]
            listen = "0.0.0.0:3333"
            start = 512.0
            proxy_from = ["10.0.0.0/8"]
            [[ports]]
            listen = "0.0.0.0:3443"
            tls = { certificate = "pool.crt", key = "pool.key" }
            [bans]
            duration = "10m"
            [limits]
            idle = 900
        "#;
        let config: StratumConfig = toml::from_str(text).unwrap();
        assert_eq!(config.ports[0].vardiff(&config.vardiff).start, 512.0);
        assert_eq!(config.keepalive, Span::secs(30));
        assert_eq!(config.problems(), Vec::<String>::new());
        let again: StratumConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn the_longest_beginning_of_a_user_agent_counts() {
        let table = [("", 1.0), ("cgminer/", 2.0), ("cgminer/4.12", 3.0), ("cgminer/5", 4.0)];
        let table = table.map(|(beginning, value)| (beginning.to_owned(), value)).into();
        for (agent, value) in [("cgminer/4.12.1", 3.0), ("cgminer/4.11", 2.0), ("CGMiner/4", 1.0), ("", 1.0)]
        {
            assert_eq!(by_agent(&table, agent), Some(value), "{agent}");
        }
        assert_eq!(by_agent(&BTreeMap::from([("x".to_owned(), 1.0)]), "cgminer"), None);
    }

    #[test]
    fn all_problems_are_named_at_once_and_a_misspelt_key_is_one() {
        let text = "keepalive = 0\nagent_difficulty = { x = 0 }\n[limits]\nline = 10\n[vardiff]\nmin = 10.0\n\
                    max = 1.0\n[masks]\nmask = \"xyz\"";
        let config: StratumConfig = toml::from_str(text).unwrap();
        assert_eq!(config.problems().len(), 5, "{:?}", config.problems());
        assert!(toml::from_str::<StratumConfig>("keepalife = 3").is_err());
    }
}
