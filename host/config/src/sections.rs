//! The table of options. A line here is the parser, the default, the help, the reference and the example at once.

use crate::reader::{OneOrMore, section};
use crate::values::{Secret, Span};
use millpond_types::{Amount, PoolName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

type Numbers = BTreeMap<String, f64>;
type PluginSettings = BTreeMap<String, (toml::Value, Span)>;

section! {
    /// A Millpond configuration: one process, any number of pools.
    Config {
        /// The process as a whole.
        host: Host;
        /// The HTTP API, metrics and the dashboard. Leave out for none.
        http: Option<Http>;
        /// Hot backups on a schedule. Leave out for none.
        backup: Option<Backup>;
        /// Who is told when something needs a person. May stand several times.
        alert: Vec<Alert>;
        /// A pool. May stand several times.
        pool: Vec<Pool>;
    }
}

section! {
    /// The process as a whole.
    Host {
        /// The folder of everything durable: journal, ledger, plugins, caches. Made when absent.
        data: PathBuf = "\"millpond-data\"";
        /// Threads that check proofs of work; 0 takes one per core.
        validator_threads: u16 = "0";
        /// Mebibytes of prepared keys (matrices, data sets) of native algorithms that are kept, for all pools together: those least lately used are forgotten beyond that.
        context_memory: u16 = "64";
        /// The longest that a share waits to be written to the disk together with others: a longer wait costs the miner's answer as much and saves syncs. "0ms" writes at once, and what comes meanwhile is written together after.
        commit_interval: Duration = "\"1ms\"";
        /// Warn when the disk would be full within this time at the present rate.
        disk_forecast: Duration = "\"14d\"";
    }
}

section! {
    /// The HTTP API, metrics and the dashboard.
    Http {
        /// Where to listen. Anything but loopback needs `hosts`.
        listen: SocketAddr = "\"127.0.0.1:8080\"";
        /// Names that the Host header may carry, beside loopback's. Others are refused, against DNS rebinding.
        hosts: Vec<String> = "[]", eg "[\"pool.example.org\"]";
        /// Requests a second of one address; bursts of twice as many pass.
        requests_per_second: u32 = "20";
        /// Proxies whose `X-Forwarded-For` header says who asks, as addresses or prefixes: without them all who come through a proxy count as one.
        forwarded_from: Vec<String> = "[]", eg "[\"127.0.0.1\"]";
    }
}

section! {
    /// Hot backups on a schedule.
    Backup {
        /// The folder to write backups to.
        to: PathBuf, eg "\"/var/backups/millpond\"";
        /// How often.
        every: Duration = "\"6h\"";
        /// Backups to keep.
        keep: u16 = "8";
        /// A program run after each backup with its path as the only argument, to carry it off the machine.
        then: Option<String>, eg "\"/usr/local/bin/carry-off\"";
        /// Raise an alert when the newest backup is older than this.
        stale_after: Duration = "\"24h\"";
    }
}

section! {
    /// Who is told when something needs a person.
    Alert {
        /// A program: it gets the alert as JSON on its standard input.
        exec: Option<String>, eg "\"/usr/local/bin/tell-me\"";
        /// An `http://` address that gets the alert as JSON by POST.
        webhook: Option<String>, eg "\"http://127.0.0.1:9000/alerts\"";
        /// The mildest level that is told: "warning" or "critical".
        level: String = "\"warning\"";
    }
}

section! {
    /// A pool.
    Pool {
        /// Its name: folder, label and part of addresses.
        name: PoolName, eg "\"btc\"";
        /// What it mines.
        chain: Chain;
        /// The coin's nodes, best first. May stand several times.
        node: Vec<Node>;
        /// Ports that miners connect to. May stand several times.
        port: Vec<Port>;
        /// Limits and difficulty of all its ports.
        stratum: Stratum = "{}";
        /// Who gets what.
        payout: Payout = "{}";
        /// What the pool keeps. Leave out for nothing. May stand several times: each policy is shown what the one before left over.
        fee: OneOrMore<Fee>;
        /// The wallet that pays. Leave out when all is paid in the coinbase.
        wallet: Option<Wallet>;
        /// Policies that divide every income beside the one in force, to be compared with it; they move nothing. May stand several times.
        shadow: Vec<Shadow>;
        /// When and how balances are paid.
        settlement: Settlement = "{}";
        /// How long shares are kept.
        retention: Retention = "{}";
    }
}

section! {
    /// What a pool mines.
    Chain {
        /// A bundled adapter's name, or the path of a component.
        adapter: String = "\"bitcoin\"";
        /// Node methods that an adapter of your own may call. A bundled one is granted what it asks for; wallet methods never.
        grant: Vec<String> = "[]";
        /// Where blocks pay to: the pool's own address. Every job is checked against it before a miner sees it.
        payout_address: Option<String>, eg "\"bc1q...\"";
        /// "pool": the coinbase pays `payout_address`. "miner": it pays the finder (SOLO without custody), less the fee. "scheme": it pays those whom the scheme gives something, as many as fit, and the others by later blocks: the pool holds nothing.
        coinbase: String = "\"pool\"";
        /// With "scheme": the bytes that a coinbase may have without its witness, or the firmware that has to take it: "nerdminer" (255), "esp-miner" (384), "antminer" (750), "s21" (2250), "whatsminer" (6500). Miners whose firmware takes less get no work.
        coinbase_limit: String = "\"antminer\"";
        /// With "scheme": how often whom the coinbase pays follows new shares, beside every new tip; 10 seconds to 5 minutes.
        plan_every: Duration = "\"30s\"";
        /// Publish jobs of a chain whose coinbase the host cannot read. Trusts the adapter with every block's reward.
        trust_adapter_with_coinbase: bool = "false";
        /// Confirmations that the host itself counts before an income can be paid out; never fewer than the adapter asks.
        confirmations: u32 = "101";
        /// The easiest network target that a job may have, 64 hex digits. Leave out for none but the common sense.
        easiest_target: Option<String>;
        /// The most that one block can earn; 0 holds jobs against the median of recent ones.
        reward_cap: Amount = "0";
        /// A job is worked on for at most this long when nothing newer comes; an adapter may ask for less.
        job_expiry: Duration = "\"10m\"";
        /// Events after which the adapter goes on in a fresh instance, so that what it keeps in memory does not grow for ever; 0 for never.
        renew_after: u32 = "100000";
        /// The adapter's own settings (`millpond plugin schema bitcoin`).
        settings: PluginSettings = "{}", eg "{ network = \"regtest\" }";
    }
}

section! {
    /// One of a coin's nodes.
    Node {
        /// Its JSON-RPC address.
        url: String, eg "\"http://127.0.0.1:8332\"";
        /// The RPC user.
        user: String = "\"\"";
        /// The RPC password.
        password: Option<Secret>, eg "\"env:NODE_PASSWORD\"";
        /// The node's cookie file, instead of user and password.
        cookie: Option<PathBuf>;
        /// A ZMQ address that publishes `hashblock`.
        zmq: Option<String>, eg "\"tcp://127.0.0.1:28332\"";
    }
}

section! {
    /// A port that miners connect to.
    Port {
        /// Where to listen.
        listen: SocketAddr, eg "\"0.0.0.0:3333\"";
        /// The difficulty that a new connection starts with.
        difficulty: f64 = "1024";
        /// Stay at that difficulty.
        fixed: bool = "false";
        /// Speak this dialect of the adapter whatever the miner calls itself.
        dialect: Option<String>;
        /// Sources whose PROXY protocol header (v1 or v2) is believed, as addresses or prefixes.
        proxy_from: Vec<String> = "[]", eg "[\"10.0.0.0/8\"]";
        /// TLS on this port.
        tls: Option<Tls>;
    }
}

section! {
    /// TLS of a port.
    Tls {
        /// The certificate chain, PEM.
        certificate: PathBuf, eg "\"/etc/millpond/chain.pem\"";
        /// The private key, PEM.
        key: PathBuf, eg "\"/etc/millpond/key.pem\"";
    }
}

section! {
    /// Limits and difficulty of all ports of a pool.
    Stratum {
        /// Shares a minute that vardiff aims at, per connection.
        shares_per_minute: f64 = "18";
        /// The lowest difficulty given.
        minimum_difficulty: f64 = "1e-9";
        /// The highest difficulty given.
        maximum_difficulty: f64 = "1e15";
        /// Give only powers of two.
        powers_of_two: bool = "false";
        /// Connections in all.
        connections: u32 = "20000";
        /// Connections of one address (IPv6: of one network of `ipv6_prefix`).
        connections_per_address: u32 = "1000";
        /// How many bits of an IPv6 address are one address to limits and bans: providers give a household 56 or 64.
        ipv6_prefix: u8 = "56";
        /// Connections in all that have not logged in yet.
        handshakes: u32 = "2000";
        /// Of one address's connections those that have not logged in yet: what a farm behind one address needs when it comes back at once.
        handshakes_per_address: u32 = "256";
        /// Bytes of the extranonce that the pool sets: one tells 256 sessions apart, two 65,536. Leave out for what suits the coin and its miners.
        extranonce_prefix: Option<u32>, eg "4";
        /// Serve hash marketplaces: the pool does not start with a coin whose extranonce is shorter than the 7 bytes they ask for.
        marketplaces: bool = "false";
        /// Bytes of one line.
        line_bytes: u32 = "16384";
        /// Lines a second of one connection, twice as many at once; what comes faster is left in the socket.
        lines_per_second: u32 = "200";
        /// Bytes a second of one connection, likewise; 0 for a KiB for each of its lines.
        bytes_per_second: u32 = "0";
        /// Milliseconds of CPU a second that refused shares of one address may cost where the algorithm is a heavy one, ten seconds' worth at once; then the connections that send them wait.
        refused_work: u32 = "200";
        /// Addresses and networks whose connections are refused before anything is read.
        deny: Vec<String> = "[]", eg "[\"198.51.100.0/24\"]";
        /// Addresses and networks that are never banned and have no limits of an address.
        allow: Vec<String> = "[]", eg "[\"10.0.0.0/8\"]";
        /// A new connection has this long to subscribe and authorize.
        handshake: Duration = "\"60s\"";
        /// A connection that sends nothing for this long is closed.
        idle: Duration = "\"30m\"";
        /// A miner who heard nothing for this long gets a sign of life: cgminer hangs up after 90 s of silence.
        keepalive: Duration = "\"45s\"";
        /// After this long without a packet TCP asks the peer whether it lives; "0s" for never.
        tcp_keepalive: Duration = "\"2m\"";
        /// The least difficulty by the beginning of the miner's user agent (the longest that fits counts), for hash marketplaces.
        agent_minimum: Numbers = "{}", eg "{ \"NiceHash/\" = 500000 }";
        /// The difficulty that a new connection starts with by the beginning of its user agent, likewise: before what its port says, within the port's limits and `agent_minimum`. A difficulty that the miner asks for, and where the worker's last session ended, go before it.
        agent_difficulty: Numbers = "{}", eg "{ \"cpuminer\" = 0.001, \"NerdMiner\" = 0.0001 }";
        /// Dialects of your own beside the adapter's: files, looked for beside this one. One with the name of the adapter's takes its place.
        dialects: Vec<String> = "[]", eg "[\"rig.dialect\"]";
        /// Ask each miner once after its login for its version, and show the answer in `millpond miners list`.
        ask_version: bool = "false";
        /// How long a broken connection's session can be taken up again.
        resume: Duration = "\"10m\"";
        /// How long an address is banned at first; doubled each time again.
        ban: Duration = "\"2m\"";
        /// No ban is longer.
        ban_longest: Duration = "\"24h\"";
        /// What earlier bans weigh is halved in this time.
        ban_forgotten: Duration = "\"1h\"";
        /// Shares of a connection that are looked at: when too many of them are invalid, its address is banned. 0 looks at none, for load tests.
        ban_window: u32 = "50";
        /// This many of a hundred are too many; stale ones are not counted.
        ban_percent: u32 = "50";
    }
}

section! {
    /// Who gets what.
    Payout {
        /// A bundled scheme's name (solo, prop, incentive-compatible, pps, fpps, pps-plus, smpps, esmpps, pplns, pplns-window, tides, finder-bonus, cppsrb, dgm, geometric, queue, shifts, slice, slush), or the path of a component.
        scheme: String = "\"pplns\"";
        /// The least balance that is paid. A miner may ask for more.
        minimum: Amount = "100000";
        /// The least that a miner can set for himself, by a signature of his address; 0: `minimum`.
        own_minimum_least: Amount = "0";
        /// The most that he can set; 0 for no bound.
        own_minimum_most: Amount = "0";
        /// What the operator stands in with, for schemes that credit before a block is found (PPS).
        reserve: Option<Reserve>;
        /// Another scheme or fee policy is announced for this long before it takes over, and miners see it in the API: it does behind the first block that is found after that.
        notice: Duration = "\"0s\"";
        /// When this scheme follows another, what that one still owes for work of before, by its windows or by what it keeps of each miner, is paid by its own rule, out of each income, and this one pays the work behind. No third scheme takes over before that is settled. Where the coinbase pays miners nothing is settled so; and without it a scheme that keeps cells cannot be left before they hold less than a unit each.
        run_off: bool = "true";
        /// After so many incomes the scheme of before pays no more, whatever it still owes.
        run_off_limit: u64 = "1000";
        /// The scheme's own settings (`millpond plugin schema pplns`).
        settings: PluginSettings = "{}";
    }
}

section! {
    /// A policy that divides beside the one in force and moves nothing.
    Shadow {
        /// Its name on the pages.
        name: String, eg "\"tides\"";
        /// A bundled scheme's name, or the path of a component.
        scheme: String = "\"pplns\"";
        /// What it would keep. Leave out for nothing. May stand several times, as the pool's own.
        fee: OneOrMore<Fee>;
        /// What the operator would stand in with, for schemes that credit before a block is found (PPS).
        reserve: Option<Reserve>;
        /// Begin behind this share; 0 for all that are recorded.
        since: u64 = "0";
        /// How often it looks for new incomes.
        every: Duration = "\"30s\"";
        /// The scheme's own settings.
        settings: PluginSettings = "{}";
    }
}

section! {
    /// What the operator stands in with.
    Reserve {
        /// The sum: crediting stops when it is spent.
        amount: Amount, eg "1000000000";
    }
}

section! {
    /// What the pool keeps.
    Fee {
        /// A bundled fee policy's name, or the path of a component.
        policy: String = "\"flat\"";
        /// It goes to the reserve that the scheme pays from (PPS and its kin), and to no recipient.
        to_reserve: bool = "false";
        /// Who receives it. May stand several times; weights divide it.
        recipient: Vec<FeeRecipient>;
        /// The policy's own settings.
        settings: PluginSettings = "{}", eg "{ basis_points = 100 }";
    }
}

section! {
    /// Who receives a fee.
    FeeRecipient {
        /// A name for the ledger.
        name: String, eg "\"operator\"";
        /// An address to pay it to; without one it stays in the pool's wallet.
        address: Option<String>;
        /// His part of the sum of all weights.
        weight: u32 = "1";
    }
}

section! {
    /// The wallet that pays. Its endpoint and credentials are never shown to an adapter.
    Wallet {
        /// How it is spoken to: "core" (Bitcoin Core's wallet RPC), "bcoin", or "sendmany".
        driver: String = "\"core\"";
        /// Its address; the first node's when left out.
        url: Option<String>;
        /// The user.
        user: String = "\"\"";
        /// The password or API key.
        password: Option<Secret>, eg "\"env:WALLET_PASSWORD\"";
        /// The wallet's name, where a server has several.
        name: Option<String>;
    }
}

section! {
    /// When and how balances are paid.
    Settlement {
        /// "interval 1h", "cron 0 6 * * *" (UTC), "blocks 144", or "manual".
        schedule: String = "\"interval 1h\"";
        /// The most that one run pays; 0 for no cap.
        cap_per_run: Amount = "0";
        /// The most that a day's runs pay; 0 for no cap.
        cap_per_day: Amount = "0";
        /// The most outputs of one transaction.
        batch: u16 = "200";
        /// Who bears the network fee: "pool" or "miners" (by their amounts).
        network_fee: String = "\"pool\"";
        /// The fee rate, in base units per 1000 bytes; 0 lets the wallet choose.
        fee_rate: Amount = "0";
        /// The highest network fee of one transaction, in base units; 0 for no more than the transaction pays.
        max_fee: Amount = "0";
        /// Confirmations after which a payment is settled, at least 1. It is looked at for a day more, in case a reorganisation removes it.
        confirmations: u32 = "2";
    }
}

section! {
    /// How long shares are kept.
    Retention {
        /// Shares older than this are dropped, unless something refers to them still: a window, an income or a block that is not final, a credit that is due. Leave out to keep all for ever.
        keep: Option<Duration>, eg "\"90d\"";
        /// So many of the newest shares are kept at least.
        shares: u64 = "1000000";
        /// How often is looked for what can go.
        every: Duration = "\"1h\"";
    }
}
