//! The part of an adapter that every coin with `getblocktemplate` has in common: which node is asked what and when,
//! whose template miners work on, following our blocks, submission. A coin fills in what is its own ([`Coin`]): the
//! coinbase and the constants of a job, the block of a solution, addresses. [`Chain`] makes an adapter of it:
//!
//! ```ignore
//! struct MyCoin;
//! impl gbt::Coin for MyCoin { … }
//! millpond_sdk::export_adapter!(gbt::Chain<MyCoin>);
//! ```
//!
//! What the node must speak, as bcoin, hsd, Bitcoin Core and their descendants do:
//!
//! | method | answer |
//! |---|---|
//! | `getblockchaininfo []` | `chain`, perhaps `initialblockdownload` |
//! | `getblocktemplate [{…}]` | BIP 22 and 23; a longpoll is used where `longpollid` stands in it |
//! | `submitblock ["hex"]` | `null`, or a reason in words |
//! | `getblockhash [height]` | the hash; error -8 above the tip |
//! | `getblockheader ["hash"]` | `confirmations` |
//!
//! Several nodes: each gives templates, miners work on the highest, then on the block already worked on, then on the
//! best paid; a node on another network or three blocks behind is unfit. One that answers errors has no say until it gives
//! a template again: the others' are worked on, a lower one only after a minute. Where the coin gives one
//! ([`Coin::proposal`]), the block of each template that miners get is shown to its node beside, unless it differs from
//! the last in its time alone. When the node refuses it, the jobs are taken back, other nodes' templates come before its
//! own, and its next is published only after it took the block. A block of ours is an orphan only when another one stands
//! at its height with enough confirmations, and even that is taken back if the chain returns.

mod follow;
mod nodes;
mod solved;
mod template;
mod work;

use super::{
    Action, Adapter, Assembled, Call, CallError, Chunk, Description, Event, Happening, Kind, Output, Payee,
    Reply, Settings, Solution, Transport, Verdict,
};
use crate::json::Cursor;
use follow::{Ours, Seen};
use nodes::Nodes;
pub use solved::varint;
use std::collections::BTreeMap;
pub use template::Template;

/// Index of the JSON-RPC transport in the description: [`rpc`] has to be the first.
pub const RPC: u16 = 0;
/// Timer of the followed blocks; a link's own timer has the link's number.
const FOLLOW: u32 = 1 << 16;
/// Beside a longpoll templates are asked for this often; Core's longpoll looks at fees after a minute only.
const LONG_POLL_MS: u32 = 30_000;
/// A node that failed is asked again after this.
const RETRY_MS: u32 = 3_000;

/// The first transport of the description: JSON-RPC with the methods that [`Chain`] uses.
pub fn rpc() -> Transport {
    let methods = ["getblocktemplate", "submitblock", "getblockchaininfo", "getblockhash", "getblockheader"];
    Transport {
        name: "rpc".to_owned(),
        kind: Kind::JsonrpcHttp,
        methods: methods.map(str::to_owned).to_vec(),
    }
}

/// How the nodes of a coin are asked, and when a block of it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What the node calls its network in `getblockchaininfo`.
    pub chain: String,
    /// Rules that `getblocktemplate` is asked with (BIP 9). A template that needs another one stops the pool.
    pub rules: Vec<String>,
    /// Confirmations after which a coinbase can be spent; `final-after` of the description.
    pub maturity: u32,
    /// Confirmations of another block at our height that make ours an orphan, at least 1.
    pub orphan_after: u32,
    /// Milliseconds between templates asked for without a longpoll, at least 10.
    pub poll_ms: u32,
}

/// What a coin makes of a template: the parts of a job that are its own.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Work {
    /// Index into the description's recipes.
    pub recipe: u16,
    /// The recipe's constants, in its order.
    pub consts: Vec<Vec<u8>>,
    /// What the coinbase pays, in the order of the outputs, and whether it is the pool's own: all but the session's.
    pub paid: Vec<(u64, bool)>,
    /// Whatever [`Coin::solved`] needs beside the recipe's results.
    pub more: Vec<u8>,
}

/// What each of the coinbase's outputs gets of `value`, by weight; every unit goes to some output.
///
/// # Errors
/// When no output has a weight.
pub fn divide(value: u64, outputs: &[Output]) -> Result<Vec<u64>, String> {
    let amounts = crate::cumulative(value, outputs.iter().map(|output| u128::from(output.weight)))?;
    if amounts.iter().sum::<u64>() != value {
        return Err("no output of the coinbase has a weight: whom to pay is not configured".to_owned());
    }
    Ok(amounts)
}

/// A block as it is submitted: `start`, the template's transactions, `end`.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Block {
    /// Its identity, in the order that RPC prints; empty in a proposal.
    pub name: Vec<u8>,
    /// Everything before the first transaction of the template: header, count, coinbase.
    pub start: Vec<u8>,
    /// What follows the transactions, in hex.
    pub end: Vec<Chunk>,
}

/// What a coin adds to `getblocktemplate`. Everything here is pure.
pub trait Coin: Sized + 'static {
    /// What its templates hold beside the common keys.
    type More: Default;

    /// JSON Schema of the adapter's configuration section.
    fn schema() -> String;

    /// From settings: the coin, its description with [`rpc`] as the first transport, and how its nodes are asked.
    fn new(settings: &Settings) -> Result<(Self, Description, Profile), String>;

    /// Reads a member of the template that [`Template`] does not know, or says false and leaves `value` alone.
    fn member(&self, key: &str, value: &mut Cursor<'_>, more: &mut Self::More) -> Result<bool, String>;

    /// The work of a template that pays these outputs. An `Err` is shown to the operator, and no job is made.
    fn work(&self, template: &Template<Self::More>, outputs: &[Output]) -> Result<Work, String>;

    /// How much of a block's value is subsidy, for schemes that pay it apart from fees: [`Template::subsidy`] where that is
    /// all that is no fee of a transaction. A coin that tells it says `job.subsidy` in its description's `extra`.
    fn subsidy(&self, template: &Template<Self::More>) -> Option<u64> {
        let _ = template;
        None
    }

    /// The block of this work with any nonces, for the node to look at (BIP 23); `None`: it is not asked.
    fn proposal(&self, template: &Template<Self::More>, work: &Work) -> Result<Option<Block>, String> {
        let _ = (template, work);
        Ok(None)
    }

    /// The block of a solution: `results` are the recipe's `out` registers, `transactions` counts the coinbase in,
    /// `more` is [`Work::more`]. No event was ever seen by this instance.
    fn solved(&self, results: &[Vec<u8>], transactions: usize, more: &[u8]) -> Result<Block, String>;

    /// A login name as payee and worker.
    fn resolve(&self, name: &str) -> Result<Payee, String>;
}

/// What a call under way was for.
enum Ask {
    Chain,
    Template {
        long: bool,
    },
    /// Does a node take the block of its template? `first`: before miners see it.
    Proposal {
        first: bool,
    },
    HashAt {
        block: Vec<u8>,
    },
    Depth {
        block: Vec<u8>,
        seen: Seen,
    },
}

/// What miners work on.
struct Shown {
    link: u16,
    parent: [u8; 32],
    height: u64,
    digest: u64,
    outputs_rev: u64,
    since_ms: u64,
    /// A node refused its block: whatever comes next is worth a job.
    refused: bool,
}

/// The adapter of a coin.
pub struct Chain<C> {
    coin: C,
    profile: Profile,
    now_ms: u64,
    last_id: u64,
    asks: BTreeMap<u64, Ask>,
    nodes: Nodes,
    outputs: Vec<Output>,
    outputs_rev: u64,
    shown: Option<Shown>,
    ours: Vec<Ours>,
    /// The last trouble told, so that one that stays is told once.
    told: String,
    actions: Vec<Action>,
}

impl<C: Coin> Adapter for Chain<C> {
    fn schema() -> String {
        C::schema()
    }

    fn new(settings: Settings) -> Result<(Self, Description), String> {
        let (coin, description, mut profile) = C::new(&settings)?;
        profile.orphan_after = profile.orphan_after.max(1);
        let it = Self {
            coin,
            profile,
            now_ms: 0,
            last_id: 0,
            asks: BTreeMap::new(),
            nodes: Nodes::new(),
            outputs: Vec::new(),
            outputs_rev: 0,
            shown: None,
            ours: Vec::new(),
            told: String::new(),
            actions: Vec::new(),
        };
        Ok((it, description))
    }

    fn handle(&mut self, event: Event) -> Result<Vec<Action>, String> {
        self.now_ms = event.now_ms;
        match event.what {
            Happening::Start(start) => {
                (self.outputs, self.outputs_rev) = (start.outputs, start.revision);
                start.watching.into_iter().for_each(|watched| self.watch(watched));
            }
            Happening::Link((link, true)) => {
                self.nodes.insert(link, nodes::Node::default());
                self.ask(link, Ask::Chain, "getblockchaininfo", "[]".to_owned(), 10_000);
            }
            Happening::Link((link, false)) => {
                self.nodes.remove(&link);
                self.actions.push(Action::Timer((u32::from(link), 0)));
                if self.shown.as_ref().is_some_and(|shown| shown.link == link) {
                    self.ask_best();
                }
            }
            Happening::Reply(reply) => self.reply(reply),
            // A wake-up only; what happened is in the template.
            Happening::Push(push) => match self.nodes.get_mut(&push.link) {
                Some(node) if node.asked => node.woken = true,
                _ => self.ask_template(push.link),
            },
            Happening::Timer(FOLLOW) => self.follow(),
            Happening::Timer(id) => u16::try_from(id).map(|link| self.ask_template(link)).unwrap_or_default(),
            Happening::Outputs((revision, outputs)) => {
                (self.outputs, self.outputs_rev) = (outputs, revision);
                self.ask_best();
            }
            Happening::Watch(watched) => {
                self.watch(watched);
                self.actions.push(Action::Timer((FOLLOW, 1_000)));
            }
            Happening::Aux(_) | Happening::Other(_) => {}
        }
        Ok(std::mem::take(&mut self.actions))
    }

    fn assemble(&self, solution: Solution) -> Result<Assembled, String> {
        solved::assemble(&self.coin, &solution)
    }

    fn read_reply(&self, _method: &str, reply: &[u8]) -> (Verdict, String) {
        solved::read_reply(reply)
    }

    fn resolve(&self, name: &str) -> Result<Payee, String> {
        self.coin.resolve(name)
    }
}

impl<C: Coin> Chain<C> {
    /// Tells the operator, once as long as it is the same.
    fn alarm(&mut self, stop: bool, text: String) {
        if self.told != text {
            self.told.clone_from(&text);
            self.actions.push(Action::Alarm((stop, text)));
        }
    }

    fn ask(&mut self, link: u16, ask: Ask, method: &str, params: String, timeout_ms: u32) {
        self.last_id += 1;
        self.asks.insert(self.last_id, ask);
        let (id, method, body) = (self.last_id, method.to_owned(), params.into_bytes());
        self.actions.push(Action::Call(Call {
            id,
            transport: RPC,
            method,
            body,
            link: Some(link),
            timeout_ms,
        }));
    }

    /// Asks a node for a template unless that is under way; a node not known to be fit is looked at first.
    fn ask_template(&mut self, link: u16) {
        let Some(node) = self.nodes.get_mut(&link) else { return };
        if std::mem::replace(&mut node.asked, true) {
            return;
        }
        if node.fit {
            let params = self.template_params("");
            self.ask(link, Ask::Template { long: false }, "getblocktemplate", params, 20_000);
        } else {
            self.ask(link, Ask::Chain, "getblockchaininfo", "[]".to_owned(), 10_000);
        }
    }

    fn ask_best(&mut self) {
        let working_on = self.shown.as_ref().map(|shown| shown.parent);
        if let Some(link) = nodes::best(&self.nodes, working_on) {
            self.ask_template(link);
        }
    }

    fn template_params(&self, more: &str) -> String {
        format!(r#"[{{"capabilities":["longpoll","proposal"],"rules":{:?}{more}}}]"#, self.profile.rules)
    }

    fn reply(&mut self, reply: Reply) {
        let Some(ask) = self.asks.remove(&reply.id) else { return };
        match ask {
            Ask::Chain => self.chain(reply.link, &reply.outcome),
            Ask::Template { long } => {
                if let Some(node) = self.nodes.get_mut(&reply.link) {
                    *(if long { &mut node.longpolling } else { &mut node.asked }) = false;
                    let woken = !long && std::mem::take(&mut node.woken);
                    self.template(reply.link, long, &reply.outcome, reply.body);
                    if woken {
                        self.ask_template(reply.link);
                    }
                }
            }
            Ask::Proposal { first } => self.proposed(reply.link, first, &reply.outcome),
            Ask::HashAt { block } => self.hash_at(reply.link, block, &reply.outcome),
            Ask::Depth { block, seen } => self.depth(&block, seen, &reply.outcome),
        }
    }

    /// Is the node on our network, and has it caught up?
    fn chain(&mut self, link: u16, outcome: &Result<Vec<u8>, CallError>) {
        let Some(node) = self.nodes.get_mut(&link) else { return };
        node.asked = false;
        let (mut chain, mut syncing) = ("", false);
        let read = outcome.as_ref().map_err(|error| error.message.clone()).and_then(|answer| {
            Cursor::new(answer).object(|key, value| {
                match key {
                    "chain" => chain = value.text()?,
                    "initialblockdownload" => syncing = value.flag()?,
                    _ => value.skip()?,
                }
                Ok(())
            })
        });
        let unfit = match read {
            Err(error) => Some(format!("getblockchaininfo: {error}")),
            Ok(()) if chain != self.profile.chain => Some(format!(
                "it is on {chain:?}, this pool on {:?}: check the node or `network`",
                self.profile.chain
            )),
            // Test networks may stand still for days, which a node takes for syncing.
            Ok(()) if syncing && chain == "main" => Some("it is still syncing".to_owned()),
            Ok(()) => None,
        };
        node.fit = unfit.is_none();
        match unfit {
            None => self.ask_template(link),
            Some(reason) => {
                if !std::mem::replace(&mut node.blamed, true) {
                    self.actions.push(Action::Unfit((link, reason)));
                }
                self.actions.push(Action::Timer((u32::from(link), RETRY_MS)));
            }
        }
    }
}
