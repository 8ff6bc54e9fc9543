//! A chain adapter for a getwork-style node: the node makes the whole header and pays its own wallet; miners roll an
//! extranonce and a nonce behind it. Replace what is marked CHAIN by your chain's facts.
//!
//! The node of this template answers
//!
//! | call | answer |
//! |---|---|
//! | `getwork []` | `{"head": hex, "parent": hash, "target": 64 hex digits, "height": n, "reward": units}` |
//! | `submitwork ["hex"]` | `true`, or `false` when the block is not valid |
//! | `getblockinfo ["hash"]` | `{"confirmations": n}`, -1 for a block outside of the best chain |

use millpond_sdk::Settings as _;
use millpond_sdk::chain::{
    Action, Adapter, Assembled, Call, Chunk, Description, Event, Fate, Happening, Income, IncomeAt, Job,
    Kind, Payee, Reply, Settings, Solution, Transport, Verdict, Watched, host,
};
use millpond_sdk::{hex, json::Cursor};
use std::collections::BTreeMap;

/// The configuration section as JSON Schema; `millpond plugin schema` prints it.
const SCHEMA: &str = r#"{"type":"object","properties":{
"network":{"type":"string","enum":["mainnet","regtest"],"default":"mainnet","description":"The network."},
"poll_ms":{"type":"integer","minimum":100,"maximum":60000,"default":1000,"description":"How often the node is asked for work."}
},"additionalProperties":false}"#;

/// CHAIN: how a share becomes a hash (docs/recipes.md) and how miners speak (docs/dialects.md).
const RECIPE: &str = include_str!("recipe.txt");
const DIALECT: &str = include_str!("dialect.txt");

/// Index of the one transport, and what is called on it.
const RPC: u16 = 0;
const METHODS: [&str; 3] = ["getwork", "submitwork", "getblockinfo"];
/// CHAIN: blocks until an income can be spent.
const FINAL_AFTER: u32 = 20;
const POLL: u32 = 1;

/// The adapter.
pub struct Plugin {
    poll_ms: u32,
    last_id: u64,
    /// Calls under way: `None` asks for work, `Some` for a block of ours.
    asked: BTreeMap<u64, Option<Vec<u8>>>,
    links: Vec<u16>,
    outputs_rev: u64,
    newest: Vec<u8>,
    ours: BTreeMap<Vec<u8>, (Watched, Option<Fate>)>,
}

/// What the node says of its work.
struct Work {
    parent: Vec<u8>,
    height: u64,
    reward: u64,
    target: Vec<u8>,
    head: Vec<u8>,
}

impl Adapter for Plugin {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn new(settings: Settings) -> Result<(Self, Description), String> {
        let poll_ms =
            u32::try_from(settings.uint_or("poll_ms", 1000)?).map_err(|_| "`poll_ms` is too large")?;
        let description = Description {
            network: settings.text("network").unwrap_or("mainnet").to_owned(),
            recipes: vec![RECIPE.to_owned()],
            dialects: vec![DIALECT.to_owned()],
            transports: vec![Transport {
                name: "rpc".to_owned(),
                kind: Kind::JsonrpcHttp,
                methods: METHODS.map(str::to_owned).to_vec(),
            }],
            // CHAIN: the target of difficulty 1, and the units of work and money.
            diff1: [vec![0, 0, 0, 0, 0xff, 0xff], vec![0; 26]].concat(),
            work_shift: 0,
            scale: 1,
            decimals: 8,
            extranonce: 8,
            final_after: FINAL_AFTER,
            settlement: "none".to_owned(),
            extra: Vec::new(),
        };
        let it = Self {
            poll_ms: poll_ms.max(100),
            last_id: 0,
            asked: BTreeMap::new(),
            links: Vec::new(),
            outputs_rev: 0,
            newest: Vec::new(),
            ours: BTreeMap::new(),
        };
        Ok((it, description))
    }

    fn handle(&mut self, event: Event) -> Result<Vec<Action>, String> {
        let mut actions = Vec::new();
        match event.what {
            Happening::Start(start) => {
                self.outputs_rev = start.revision;
                start.watching.into_iter().for_each(|watched| self.follow(watched));
                actions.push(Action::Timer((POLL, self.poll_ms)));
            }
            Happening::Link((link, up)) => {
                self.links.retain(|known| *known != link);
                if up {
                    self.links.push(link);
                    self.ask(None, &mut actions);
                }
            }
            Happening::Timer(POLL) => {
                self.ask(None, &mut actions);
                let blocks: Vec<Vec<u8>> = self.ours.keys().cloned().collect();
                blocks.into_iter().for_each(|block| self.ask(Some(block), &mut actions));
                actions.push(Action::Timer((POLL, self.poll_ms)));
            }
            Happening::Watch(watched) => self.follow(watched),
            Happening::Outputs((revision, _)) => self.outputs_rev = revision,
            Happening::Reply(reply) => self.reply(reply, &mut actions)?,
            Happening::Timer(_) | Happening::Push(_) | Happening::Aux(_) | Happening::Other(_) => {}
        }
        Ok(actions)
    }

    fn assemble(&self, solution: Solution) -> Result<Assembled, String> {
        // `out hdr` of the recipe.
        let header = solution.results.first().ok_or("the recipe gave no header")?;
        let request = format!("[\"{}\"]", hex::encode(header));
        Ok(Assembled {
            // CHAIN: the block's identity, in one byte order for ever.
            block: host::hash("sha256d", header)?,
            transport: RPC,
            method: "submitwork".to_owned(),
            request: vec![Chunk::Literal(request.into_bytes())],
        })
    }

    /// CHAIN: `reply` is the text of `result`, or of the `error` object if the node sent one. What only means "not now"
    /// is `Retry`: the block is sent again.
    fn read_reply(&self, _method: &str, reply: &[u8]) -> (Verdict, String) {
        match reply {
            b"true" => (Verdict::Accepted, "accepted".to_owned()),
            b"false" => (Verdict::Rejected, "the node says that it is not valid".to_owned()),
            other => (Verdict::Retry, String::from_utf8_lossy(other).into_owned()),
        }
    }

    /// CHAIN: check the address, so that nobody mines for a typing error. Here: 40 hex digits, then `.worker`.
    fn resolve(&self, name: &str) -> Result<Payee, String> {
        let (address, worker) = name.split_once('.').unwrap_or((name, ""));
        let payee = hex::decode(address).filter(|payee| payee.len() == 20);
        let payee = payee.ok_or_else(|| format!("{address:?} is no address: 40 hex digits are"))?;
        Ok(Payee { address: hex::encode(&payee), payee, worker: worker.to_owned(), extra: String::new() })
    }
}
millpond_sdk::export_adapter!(Plugin);

impl Plugin {
    /// Asks the active node for work, or for a block of ours; one question of a kind at a time.
    fn ask(&mut self, block: Option<Vec<u8>>, actions: &mut Vec<Action>) {
        if self.links.is_empty() || self.asked.values().any(|asked| *asked == block) {
            return;
        }
        let (method, body) = match &block {
            None => ("getwork", "[]".to_owned()),
            Some(block) => ("getblockinfo", format!("[\"{}\"]", hex::encode(block))),
        };
        self.last_id += 1;
        self.asked.insert(self.last_id, block);
        actions.push(Action::Call(Call {
            id: self.last_id,
            transport: RPC,
            method: method.to_owned(),
            body: body.into_bytes(),
            link: None,
            timeout_ms: 10_000,
        }));
    }

    fn follow(&mut self, watched: Watched) {
        self.ours.insert(watched.block.clone(), (watched, None));
    }

    fn reply(&mut self, reply: Reply, actions: &mut Vec<Action>) -> Result<(), String> {
        let Some(asked) = self.asked.remove(&reply.id) else { return Ok(()) };
        // A node that does not answer proves nothing: it is asked again at the next poll.
        let Ok(text) = reply.outcome else { return Ok(()) };
        match asked {
            None => self.work(&work(&text)?, actions),
            Some(block) => self.confirmed(block, confirmations(&text)?, actions),
        }
        Ok(())
    }

    fn work(&mut self, work: &Work, actions: &mut Vec<Action>) {
        let newest = [work.head.as_slice(), &work.parent].concat();
        if self.newest == newest {
            return;
        }
        self.newest = newest;
        actions.push(Action::Tip((work.parent.clone(), work.height)));
        actions.push(Action::Publish(Job {
            parent: work.parent.clone(),
            coord: work.height,
            recipe: 0,
            consts: vec![work.head.clone(), work.parent.clone(), work.target.clone()],
            network_target: work.target.clone(),
            reward: work.reward,
            outputs_rev: self.outputs_rev,
            aux_rev: 0,
            warm: Vec::new(),
            // Back in `assemble`, and in `watch` when a block of it was found.
            private: work.reward.to_le_bytes().to_vec(),
            body: None,
            expires_ms: 120_000,
            extra: Vec::new(),
        }));
    }

    /// Reports the fate of a block of ours when it changed, and its income.
    fn confirmed(&mut self, block: Vec<u8>, confirmations: i64, actions: &mut Vec<Action>) {
        let Some((watched, fate)) = self.ours.get_mut(&block) else { return };
        let new = match u32::try_from(confirmations) {
            Ok(depth) if depth >= FINAL_AFTER => Fate::Final,
            Ok(0) => Fate::Pending(0),
            Ok(depth) => Fate::Accepted(depth),
            Err(_) => Fate::Orphan("the node has another block in its best chain".to_owned()),
        };
        if fate.as_ref() == Some(&new) {
            return;
        }
        let reward = watched.saved.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let earned = |fate: &Option<Fate>| matches!(fate, Some(Fate::Accepted(_) | Fate::Final));
        let income = |mature| {
            let (key, at) = (block.clone(), IncomeAt::Block(block.clone()));
            Action::Income(Income { key, amount: reward, at, mature })
        };
        actions.push(Action::Fate((block.clone(), new.clone())));
        match new {
            Fate::Orphan(_) if earned(fate) => actions.push(Action::IncomeLost(block.clone())),
            Fate::Accepted(_) if !earned(fate) => actions.push(income(false)),
            Fate::Final => actions.push(income(true)),
            _ => {}
        }
        *fate = Some(new.clone());
        if new == Fate::Final {
            self.ours.remove(&block);
        }
    }
}

/// Reads `getwork`.
fn work(text: &[u8]) -> Result<Work, String> {
    let mut work = Work { parent: vec![], height: 0, reward: 0, target: vec![], head: vec![] };
    let bytes = |value: &mut Cursor<'_>| {
        let text = value.text()?;
        hex::decode(text).ok_or_else(|| format!("{text:?} is no hex"))
    };
    Cursor::new(text).object(|key, value| {
        match key {
            "parent" => work.parent = bytes(value)?,
            "head" => work.head = bytes(value)?,
            "target" => work.target = bytes(value)?,
            "height" => work.height = value.uint()?,
            "reward" => work.reward = value.uint()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    if work.parent.len() != 32 || work.target.len() != 32 || work.head.is_empty() {
        return Err("getwork lacks head, parent or target".to_owned());
    }
    Ok(work)
}

/// Reads `getblockinfo`.
fn confirmations(text: &[u8]) -> Result<i64, String> {
    let mut found = None;
    Cursor::new(text).object(|key, value| {
        match key {
            "confirmations" => found = Some(value.int()?),
            _ => value.skip()?,
        }
        Ok(())
    })?;
    found.ok_or_else(|| "getblockinfo lacks confirmations".to_owned())
}

#[cfg(test)]
mod tests;
