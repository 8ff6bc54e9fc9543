//! The bundled chain adapter for Bitcoin and coins like it: getblocktemplate in, coinbase and jobs out, solved jobs to
//! submitblock, our blocks followed until their coinbase can be spent.
//!
//! Everything that differs between coins of the family is a setting (see `network`). This module is the actor: which
//! node is asked what, and when. What is made of a template stands in `work`, what becomes of our blocks in `follow`.

mod address;
mod coinbase;
mod follow;
mod network;
mod nodes;
mod solved;
mod template;
mod work;

use follow::{Ours, Seen};
use millpond_sdk::chain::{
    Action, Adapter, Assembled, Call, CallError, Description, Event, Happening, Output, Payee, Reply,
    Settings, Solution, Verdict,
};
use millpond_sdk::json::Cursor;
use network::{Network, RPC};
use nodes::Nodes;
use std::collections::BTreeMap;

/// Timer of the followed blocks; a link's own timer has the link's number.
const FOLLOW: u32 = 1 << 16;
/// Beside a longpoll templates are asked for this often; Core's longpoll looks at fees after a minute only.
const LONG_POLL_MS: u32 = 30_000;
/// A node that failed is asked again after this.
const RETRY_MS: u32 = 3_000;

/// What a call under way was for.
enum Ask {
    Chain,
    Template { long: bool },
    Proposal,
    HashAt { block: Vec<u8> },
    Depth { block: Vec<u8>, seen: Seen },
}

/// What miners work on.
struct Shown {
    link: u16,
    parent: [u8; 32],
    digest: u64,
    outputs_rev: u64,
    since_ms: u64,
}

/// The adapter.
pub struct Bitcoin {
    network: Network,
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

impl Adapter for Bitcoin {
    fn schema() -> String {
        network::schema()
    }

    fn new(settings: Settings) -> Result<(Self, Description), String> {
        let network = Network::from_settings(&settings)?;
        let description = network.describe(&settings)?;
        let it = Self {
            network,
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
            Happening::Push(push) => self.ask_template(push.link),
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
        solved::assemble(&self.network, &solution)
    }

    fn read_reply(&self, _method: &str, reply: &[u8]) -> (Verdict, String) {
        solved::read_reply(reply)
    }

    fn resolve(&self, name: &str) -> Result<Payee, String> {
        address::resolve(&self.network, name)
    }
}

impl Bitcoin {
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
        format!(r#"[{{"capabilities":["longpoll","proposal"],"rules":{:?}{more}}}]"#, self.network.rules)
    }

    fn reply(&mut self, reply: Reply) {
        let Some(ask) = self.asks.remove(&reply.id) else { return };
        match ask {
            Ask::Chain => self.chain(reply.link, &reply.outcome),
            Ask::Template { long } => {
                if let Some(node) = self.nodes.get_mut(&reply.link) {
                    *(if long { &mut node.longpolling } else { &mut node.asked }) = false;
                    self.template(reply.link, &reply.outcome, reply.body);
                }
            }
            Ask::Proposal => self.proposal(&reply.outcome),
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
            Ok(()) if chain != self.network.chain => Some(format!(
                "it is on {chain:?}, this pool on {:?}: check the node or `network`",
                self.network.chain
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

millpond_sdk::export_adapter!(Bitcoin);
