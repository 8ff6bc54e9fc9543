//! The bundled chain adapter for Bitcoin and coins like it: getblocktemplate in, coinbase and jobs out, solved jobs to
//! submitblock, our blocks followed until their coinbase can be spent.
//!
//! Everything that differs between coins of the family is a setting (see `network`). This module is the actor: which
//! node is asked what, when, and what is made of the answers.

mod address;
mod coinbase;
mod follow;
mod network;
mod nodes;
mod solved;
mod template;

use follow::{Ours, Seen};
use millpond_sdk::chain::{
    Action, Adapter, Assembled, Call, CallError, Chunk, Description, ErrorKind, Event, Happening, Job,
    Output, Payee, Reply, Settings, Solution, Verdict, Watched, host,
};
use millpond_sdk::{hex, json::Cursor};
use network::{Network, ROLLED_BITS, RPC};
use nodes::{Nodes, Tip};
use solved::Private;
use std::collections::BTreeMap;
use template::Template;

/// Timer of the followed blocks; a link's own timer has the link's number.
const FOLLOW: u32 = 1 << 16;
/// Other transactions on the same tip are worth new jobs this often.
const REFRESH_MS: u64 = 10_000;
/// And nothing new at all this often, for the time in the header.
const RENEW_MS: u64 = 60_000;
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

    fn template(&mut self, link: u16, outcome: &Result<Vec<u8>, CallError>, body: u64) {
        let trailer = self.network.trailer.as_ref().map(|(key, _)| key.as_str());
        let read = outcome
            .as_ref()
            .map_err(|error| (error.kind != ErrorKind::Timeout).then(|| error.message.clone()))
            .and_then(|answer| Template::read(answer, trailer).map(|read| (read, answer)).map_err(Some));
        let (template, answer) = match read {
            Ok(read) => read,
            Err(error) => {
                if let Some(error) = error {
                    host::log(host::Level::Warn, &format!("node {link}: getblocktemplate: {error}"));
                }
                // A longpoll that merely ran out is renewed by the next plain answer.
                self.actions.push(Action::Timer((u32::from(link), RETRY_MS)));
                return;
            }
        };
        let Some(node) = self.nodes.get_mut(&link) else { return };
        let Template { height, parent, value, .. } = template;
        node.tip = Some(Tip { height, parent, value });
        let longpoll = !template.longpoll.is_empty();
        let renew = longpoll && !std::mem::replace(&mut node.longpolling, longpoll);
        if renew {
            let params = self.template_params(&format!(r#","longpollid":"{}""#, template.longpoll));
            self.ask(link, Ask::Template { long: true }, "getblocktemplate", params, 300_000);
        }
        let poll = if longpoll { LONG_POLL_MS } else { self.network.poll_ms };
        self.actions.push(Action::Timer((u32::from(link), poll)));

        let working_on = self.shown.as_ref().map(|shown| shown.parent);
        if nodes::best(&self.nodes, working_on) == Some(link) {
            if let Err(error) = self.show(link, &template, answer, body) {
                self.actions
                    .push(Action::Alarm((false, format!("no job from node {link}'s template: {error}"))));
            }
        } else if self.shown.as_ref().is_some_and(|shown| shown.link == link) {
            self.ask_best();
        }
    }

    /// Publishes a template's job if it is worth it.
    fn show(&mut self, link: u16, template: &Template, answer: &[u8], body: u64) -> Result<(), String> {
        let digest = template.wtxids.chunks(8).fold(template.value, |sum, part| {
            part.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)) // FNV-1a
        });
        let age = self.shown.as_ref().map_or(u64::MAX, |shown| self.now_ms.saturating_sub(shown.since_ms));
        let new_tip = self.shown.as_ref().is_none_or(|shown| shown.parent != template.parent);
        let worth = self.shown.as_ref().is_none_or(|shown| {
            new_tip
                || shown.outputs_rev != self.outputs_rev
                || age >= RENEW_MS
                || (shown.digest != digest && age >= REFRESH_MS)
        });
        if !worth {
            return Ok(());
        }
        let unknown = template.rules.iter().flatten().filter_map(|rule| rule.strip_prefix('!'));
        if let Some(rule) =
            unknown.into_iter().find(|rule| !self.network.rules.iter().any(|known| known == rule))
        {
            let text =
                format!("rule {rule:?} is in force and this pool does not know it: update the adapter");
            self.actions.push(Action::Alarm((true, text)));
            return Ok(());
        }
        let coinbase = coinbase::build(template, &self.outputs, &self.network.tag)?;
        let private = Private::of(template, &coinbase.paid);
        let branch = host::merkle_branch("sha256d", &template.txids)?;
        let version = (template.version & !ROLLED_BITS).to_be_bytes();
        let prev: Vec<u8> = template.parent.iter().rev().copied().collect();
        let (bits, time) = (template.bits.to_le_bytes(), template.time.to_be_bytes());
        if self.network.proposal {
            self.propose(link, template, answer, &coinbase, &branch, &private)?;
        }
        let mut consts = vec![coinbase.head, coinbase.mid];
        let recipe = u16::from(coinbase.rest.is_some());
        consts.extend(coinbase.rest);
        consts.extend([branch, version.to_vec(), prev, bits.to_vec(), time.to_vec()]);
        if new_tip {
            self.actions.push(Action::Tip((template.parent.to_vec(), template.height)));
        }
        self.actions.push(Action::Publish(Job {
            parent: template.parent.to_vec(),
            coord: template.height,
            recipe,
            consts,
            network_target: template.target()?.to_vec(),
            reward: template.value,
            outputs_rev: self.outputs_rev,
            aux_rev: 0,
            warm: Vec::new(),
            private: private.write(),
            body: Some(body),
            expires_ms: 600_000,
            extra: Vec::new(),
        }));
        let (parent, outputs_rev, since_ms) = (template.parent, self.outputs_rev, self.now_ms);
        self.shown = Some(Shown { link, parent, digest, outputs_rev, since_ms });
        if new_tip {
            self.blame_laggards(template.height);
            self.follow();
        }
        Ok(())
    }

    fn blame_laggards(&mut self, height: u64) {
        for (link, node) in &mut self.nodes {
            let Some(tip) = &node.tip else { continue };
            let behind = height.saturating_sub(tip.height);
            // A block takes seconds to get around; three are a node in trouble.
            if behind < 3 {
                node.blamed = false;
            } else if !std::mem::replace(&mut node.blamed, true) {
                self.actions.push(Action::Unfit((*link, format!("it is {behind} blocks behind"))));
            }
        }
    }

    /// Has the node check the block this job would make, extranonce and nonce zero (BIP 23).
    fn propose(
        &mut self,
        link: u16,
        template: &Template,
        answer: &[u8],
        coinbase: &coinbase::Coinbase,
        branch: &[u8],
        private: &Private,
    ) -> Result<(), String> {
        let mut bytes =
            [coinbase.head.as_slice(), &[0; network::EXTRANONCE as usize], &coinbase.mid].concat();
        if let Some(rest) = &coinbase.rest {
            bytes.extend([&[1, 0x51], rest.as_slice()].concat()); // anybody's script stands in for the session's
        }
        let mut root = host::hash32("sha256d", &bytes)?;
        for side in branch.as_chunks::<32>().0 {
            root = host::hash32("sha256d", &[root, *side].concat())?;
        }
        let mut header = (template.version & !ROLLED_BITS).to_le_bytes().to_vec();
        header.extend(template.parent.iter().rev());
        header.extend(root);
        for word in [template.time, template.bits, 0] {
            header.extend(word.to_le_bytes());
        }
        let mut params = br#"[{"mode":"proposal","data":""#.to_vec();
        for chunk in solved::block(&self.network, &header, &bytes, private)? {
            match chunk {
                Chunk::Literal(text) => params.extend(text),
                Chunk::Body((offset, length)) => {
                    params.extend(answer.iter().skip(offset as usize).take(length as usize));
                }
            }
        }
        let more = format!(r#"","rules":{:?}}}]"#, self.network.rules);
        params.extend(more.into_bytes());
        let params = String::from_utf8(params).map_err(|_| "a transaction is not hex")?;
        self.ask(link, Ask::Proposal, "getblocktemplate", params, 30_000);
        Ok(())
    }

    fn proposal(&mut self, outcome: &Result<Vec<u8>, CallError>) {
        let Ok(answer) = outcome else { return };
        let (verdict, reason) = solved::read_reply(answer);
        // "inconclusive-not-best-prevblk": the tip moved meanwhile.
        if verdict == Verdict::Rejected && !reason.contains("inconclusive") && !reason.contains("duplicate") {
            self.actions
                .push(Action::Alarm((true, format!("the node refuses the block of our job: {reason}"))));
        }
    }

    fn watch(&mut self, watched: Watched) {
        if self.ours.iter().any(|ours| ours.block == watched.block) {
            return;
        }
        let paid = Private::read(&watched.saved).map(|private| private.paid);
        if paid.is_none() {
            let text = format!(
                "block {}: its payments cannot be read, no income will be reported",
                hex::encode(&watched.block)
            );
            self.actions.push(Action::Alarm((false, text)));
        }
        self.ours.push(Ours::new(watched, paid.unwrap_or_default()));
    }

    /// Asks what stands at the heights of our blocks.
    fn follow(&mut self) {
        if self.ours.is_empty() {
            return;
        }
        self.actions.push(Action::Timer((FOLLOW, LONG_POLL_MS)));
        let shown = self.shown.as_ref().map(|shown| shown.link).filter(|link| self.nodes.contains_key(link));
        let Some(link) = shown else { return };
        // The actions of one event are bounded; the others have their turn at the next tip or timer.
        let due: Vec<_> = self.ours.iter_mut().filter(|ours| !ours.asked).take(100).collect();
        let due: Vec<_> = due
            .into_iter()
            .map(|ours| {
                ours.asked = true;
                (ours.block.clone(), ours.height)
            })
            .collect();
        for (block, height) in due {
            self.ask(link, Ask::HashAt { block }, "getblockhash", format!("[{height}]"), 20_000);
        }
    }

    fn hash_at(&mut self, link: u16, block: Vec<u8>, outcome: &Result<Vec<u8>, CallError>) {
        let Some(ours) = self.ours.iter_mut().find(|ours| ours.block == block) else { return };
        ours.asked = false;
        match outcome {
            Ok(answer) => {
                let Some(there) = Cursor::new(answer).text().ok().and_then(hex::decode32) else { return };
                ours.asked = true;
                let seen = if block == there { Seen::Ours } else { Seen::Other };
                let params = format!("[\"{}\"]", hex::encode(&there));
                self.ask(link, Ask::Depth { block, seen }, "getblockheader", params, 20_000);
            }
            // -8: above the tip.
            Err(CallError { kind: ErrorKind::Rpc, code: -8, .. }) => ours.ahead(&mut self.actions),
            Err(_) => {}
        }
    }

    fn depth(&mut self, block: &[u8], seen: Seen, outcome: &Result<Vec<u8>, CallError>) {
        let Some(at) = self.ours.iter().position(|ours| ours.block == block) else { return };
        let Some(ours) = self.ours.get_mut(at) else { return };
        ours.asked = false;
        let Ok(answer) = outcome else { return };
        let mut confirmations = 0;
        let read = Cursor::new(answer).object(|key, value| match key {
            "confirmations" => value.int().map(|read| confirmations = read),
            _ => value.skip(),
        });
        if read.is_ok() && ours.seen(seen, confirmations, &self.network, &mut self.actions) {
            self.ours.remove(at);
        }
    }
}

millpond_sdk::export_adapter!(Bitcoin);
