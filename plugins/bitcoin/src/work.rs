//! From a node's template to miners' work: which template is worth a job, the job, and the block that the node is
//! asked about before (BIP 23).

use crate::coinbase::{self, Coinbase};
use crate::network::{EXTRANONCE, Network, ROLLED_BITS};
use crate::nodes::{self, Tip};
use crate::solved::{self, Private};
use crate::template::Template;
use crate::{Ask, Bitcoin, LONG_POLL_MS, RETRY_MS, Shown};
use millpond_sdk::chain::{Action, CallError, Chunk, ErrorKind, Job, Output, Verdict, host};

/// Other transactions on the same tip are worth new jobs this often.
const REFRESH_MS: u64 = 10_000;
/// And nothing new at all this often, for the time in the header.
const RENEW_MS: u64 = 60_000;
/// What the host keeps of a job's private bytes.
const MAX_PRIVATE: usize = 256 * 1024;

impl Bitcoin {
    /// A node's answer to getblocktemplate.
    pub(crate) fn template(&mut self, link: u16, outcome: &Result<Vec<u8>, CallError>, body: u64) {
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
                self.alarm(false, format!("no job from node {link}'s template: {error}"));
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
        let (new_tip, new_outputs, worth) = self.shown.as_ref().map_or((true, true, true), |shown| {
            let (tip, outputs) = (shown.parent != template.parent, shown.outputs_rev != self.outputs_rev);
            let age = self.now_ms.saturating_sub(shown.since_ms);
            let old = age >= RENEW_MS || (shown.digest != digest && age >= REFRESH_MS);
            (tip, outputs, tip || outputs || old)
        });
        if !worth {
            return Ok(());
        }
        let unknown = template.rules.iter().flatten().filter_map(|rule| rule.strip_prefix('!'));
        if let Some(rule) =
            unknown.into_iter().find(|rule| !self.network.rules.iter().any(|known| known == rule))
        {
            self.alarm(
                true,
                format!("rule {rule:?} is in force and this pool does not know it: update the adapter"),
            );
            return Ok(());
        }
        let work = Work::of(template, &self.outputs, &self.network)?;
        if self.network.proposal && (new_tip || new_outputs) {
            let params = work.proposal(template, answer, &self.network)?;
            self.ask(link, Ask::Proposal, "getblocktemplate", params, 30_000);
        }
        if new_tip {
            self.actions.push(Action::Tip((template.parent.to_vec(), template.height)));
        }
        let job = work.job(template, self.outputs_rev, body)?;
        self.actions.push(Action::Publish(job));
        let (parent, outputs_rev, since_ms) = (template.parent, self.outputs_rev, self.now_ms);
        self.shown = Some(Shown { link, parent, digest, outputs_rev, since_ms });
        self.told.clear();
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

    pub(crate) fn proposal(&mut self, outcome: &Result<Vec<u8>, CallError>) {
        let Ok(answer) = outcome else { return };
        let (verdict, reason) = solved::read_reply(answer);
        // "inconclusive-not-best-prevblk": the tip moved meanwhile.
        if verdict == Verdict::Rejected && !reason.contains("inconclusive") && !reason.contains("duplicate") {
            self.alarm(true, format!("the node refuses the block of our job: {reason}"));
        }
    }
}

/// A template with its coinbase.
struct Work {
    coinbase: Coinbase,
    branch: Vec<u8>,
    private: Private,
    /// Without the bits that miners may roll.
    version: u32,
}

impl Work {
    fn of(template: &Template, outputs: &[Output], network: &Network) -> Result<Self, String> {
        let coinbase = coinbase::build(template, outputs, &network.tag)?;
        let private = Private::of(template, &coinbase.paid);
        let branch = host::merkle_branch("sha256d", &template.txids)?;
        Ok(Self { coinbase, branch, private, version: template.version & !ROLLED_BITS })
    }

    /// The job, with the constants in the order of the recipes.
    fn job(self, template: &Template, outputs_rev: u64, body: u64) -> Result<Job, String> {
        let private = self.private.write();
        if private.len() > MAX_PRIVATE {
            return Err(format!("{} transactions are more than a job can keep", template.slices.len()));
        }
        let recipe = u16::from(self.coinbase.rest.is_some());
        let mut consts = vec![self.coinbase.head, self.coinbase.mid];
        consts.extend(self.coinbase.rest);
        let prev = template.parent.iter().rev().copied().collect();
        let (version, time) = (self.version.to_be_bytes().to_vec(), template.time.to_be_bytes().to_vec());
        consts.extend([self.branch, version, prev, template.bits.to_le_bytes().to_vec(), time]);
        Ok(Job {
            parent: template.parent.to_vec(),
            coord: template.height,
            recipe,
            consts,
            network_target: template.target()?.to_vec(),
            reward: template.value,
            outputs_rev,
            aux_rev: 0,
            warm: Vec::new(),
            private,
            body: Some(body),
            expires_ms: 600_000,
            extra: Vec::new(),
        })
    }

    /// Parameters of the call that has the node check the block this job would make, extranonce and nonce zero.
    fn proposal(&self, template: &Template, answer: &[u8], network: &Network) -> Result<String, String> {
        let mut bytes =
            [self.coinbase.head.as_slice(), &[0; EXTRANONCE as usize], &self.coinbase.mid].concat();
        if let Some(rest) = &self.coinbase.rest {
            bytes.extend([&[1, 0x51], rest.as_slice()].concat()); // anybody's script stands in for the session's
        }
        let mut root = host::hash32("sha256d", &bytes)?;
        for side in self.branch.as_chunks::<32>().0 {
            root = host::hash32("sha256d", &[root, *side].concat())?;
        }
        let mut header = self.version.to_le_bytes().to_vec();
        header.extend(template.parent.iter().rev());
        header.extend(root);
        for word in [template.time, template.bits, 0] {
            header.extend(word.to_le_bytes());
        }
        let mut params = br#"[{"mode":"proposal","data":""#.to_vec();
        for chunk in solved::block(network, &header, &bytes, &self.private)? {
            match chunk {
                Chunk::Literal(text) => params.extend(text),
                Chunk::Body((offset, length)) => {
                    params.extend(answer.iter().skip(offset as usize).take(length as usize));
                }
            }
        }
        params.extend(format!(r#"","rules":{:?}}}]"#, network.rules).into_bytes());
        String::from_utf8(params).map_err(|_| "a transaction is not hex".to_owned())
    }
}
