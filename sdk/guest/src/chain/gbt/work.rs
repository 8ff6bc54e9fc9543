//! From a node's template to miners' work: which template is worth a job, the job, and the block that the node is
//! asked about before (BIP 23).

use super::nodes::{self, Tip};
use super::solved::{self, Private};
use super::template::Template;
use super::{Ask, Block, Chain, Coin, LONG_POLL_MS, RETRY_MS, Shown, Work};
use crate::chain::{Action, CallError, Chunk, ErrorKind, Job, Verdict, host};
use crate::hex;

/// Other transactions on the same tip are worth new jobs this often.
const REFRESH_MS: u64 = 10_000;
/// And nothing new at all this often, for the time in the header.
const RENEW_MS: u64 = 60_000;
/// A node that gives no template so often in a row is told to the operator.
const FAILURES: u32 = 2;
/// What the host keeps of a job's private bytes.
const MAX_PRIVATE: usize = 256 * 1024;

impl<C: Coin> Chain<C> {
    /// A node's answer to getblocktemplate.
    pub(super) fn template(
        &mut self,
        link: u16,
        long: bool,
        outcome: &Result<Vec<u8>, CallError>,
        body: u64,
    ) {
        let read = match outcome {
            // A longpoll that merely ran out is renewed by the next plain answer.
            Err(error) if long && error.kind == ErrorKind::Timeout => {
                self.actions.push(Action::Timer((u32::from(link), RETRY_MS)));
                return;
            }
            Err(error) => Err(error.message.clone()),
            Ok(answer) => Template::read(&self.coin, answer).map(|read| (read, answer)),
        };
        let (template, answer) = match read {
            Ok(read) => read,
            Err(why) => return self.no_template(link, &why),
        };
        let Some(node) = self.nodes.get_mut(&link) else { return };
        let (height, parent, value) = (template.height, template.parent, template.value);
        node.tip = Some(Tip { height, parent, value });
        node.failures = 0;
        let longpoll = !template.longpoll.is_empty();
        let renew = longpoll && !std::mem::replace(&mut node.longpolling, longpoll);
        if renew {
            let params = self.template_params(&format!(r#","longpollid":"{}""#, template.longpoll));
            self.ask(link, Ask::Template { long: true }, "getblocktemplate", params, 300_000);
        }
        let poll = if longpoll { LONG_POLL_MS } else { self.profile.poll_ms };
        self.actions.push(Action::Timer((u32::from(link), poll)));

        let working_on = self.shown.as_ref().map(|shown| shown.parent);
        let done = if self.nodes.get(&link).is_some_and(|node| node.doubted) {
            self.ask_first(link, &template, answer)
        } else if nodes::best(&self.nodes, working_on) == Some(link) {
            if self.steps_back(link, height) {
                return;
            }
            self.show(link, &template, answer, body)
        } else {
            Ok(())
        };
        if let Err(error) = done {
            self.alarm(false, format!("no job from node {link}'s template: {error}"));
        }
        if nodes::best(&self.nodes, working_on) != Some(link)
            && self.shown.as_ref().is_some_and(|shown| shown.link == link)
        {
            self.ask_best();
        }
    }

    /// A node that gives no template: what it gave before says nothing any more of what is best, and another one's is
    /// asked for.
    fn no_template(&mut self, link: u16, why: &str) {
        host::log(host::Level::Warn, &format!("node {link}: getblocktemplate: {why}"));
        self.actions.push(Action::Timer((u32::from(link), RETRY_MS)));
        let Some(node) = self.nodes.get_mut(&link) else { return };
        node.tip = None;
        node.failures = node.failures.saturating_add(1);
        if node.failures >= FAILURES && !std::mem::replace(&mut node.blamed, true) {
            self.actions.push(Action::Unfit((link, format!("it gives no template: {why}"))));
        }
        if self.shown.as_ref().is_some_and(|shown| shown.link == link) {
            self.ask_best();
        }
    }

    /// Whether a node's template is below what another one gave a moment ago. That one may only have hiccuped, and its
    /// block reaches this node in seconds: until a renewal is due nobody is sent back, unless that one refused its own.
    fn steps_back(&self, link: u16, height: u64) -> bool {
        self.shown.as_ref().is_some_and(|shown| {
            let recent = self.now_ms.saturating_sub(shown.since_ms) < RENEW_MS;
            shown.link != link && height < shown.height && recent && !shown.refused
        })
    }

    /// Shows a node that refused a block of its own the block of its next template, before miners see it.
    fn ask_first(&mut self, link: u16, template: &Template<C::More>, answer: &[u8]) -> Result<(), String> {
        let Some(node) = self.nodes.get_mut(&link).filter(|node| !node.asked_first) else { return Ok(()) };
        let work = self.coin.work(template, &self.outputs)?;
        let Some(block) = self.coin.proposal(template, &work)? else {
            node.doubted = false;
            return Ok(());
        };
        let params = proposal(block, template, answer, &self.profile.rules)?;
        node.asked_first = true;
        self.ask(link, Ask::Proposal { first: true }, "getblocktemplate", params, 30_000);
        Ok(())
    }

    /// Publishes a template's job if it is worth it.
    fn show(
        &mut self,
        link: u16,
        template: &Template<C::More>,
        answer: &[u8],
        body: u64,
    ) -> Result<(), String> {
        let digest = template.wtxids.chunks(8).fold(template.value, |sum, part| {
            part.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)) // FNV-1a
        });
        let (new_tip, other_block, worth) = self.shown.as_ref().map_or((true, true, true), |shown| {
            let (tip, outputs) = (shown.parent != template.parent, shown.outputs_rev != self.outputs_rev);
            let other = tip || outputs || shown.refused || shown.digest != digest;
            let age = self.now_ms.saturating_sub(shown.since_ms);
            let old = age >= RENEW_MS || (other && age >= REFRESH_MS);
            (tip, other || shown.link != link, tip || outputs || shown.refused || old)
        });
        if !worth {
            return Ok(());
        }
        let unknown = template.rules.iter().flatten().filter_map(|rule| rule.strip_prefix('!'));
        if let Some(rule) =
            unknown.into_iter().find(|rule| !self.profile.rules.iter().any(|known| known == rule))
        {
            self.alarm(
                true,
                format!("rule {rule:?} is in force and this pool does not know it: update the adapter"),
            );
            return Ok(());
        }
        let work = self.coin.work(template, &self.outputs)?;
        let asked = if other_block { self.coin.proposal(template, &work)? } else { None };
        let mut job = job(work, template, self.outputs_rev, body)?;
        job.extra.extend(self.coin.subsidy(template).map(told_subsidy));
        if let Some(block) = asked {
            let params = proposal(block, template, answer, &self.profile.rules)?;
            self.ask(link, Ask::Proposal { first: false }, "getblocktemplate", params, 30_000);
        }
        if new_tip {
            self.actions.push(Action::Tip((template.parent.to_vec(), template.height)));
        }
        self.actions.push(Action::Publish(job));
        let (parent, height) = (template.parent, template.height);
        let (outputs_rev, since_ms) = (self.outputs_rev, self.now_ms);
        self.shown = Some(Shown { link, parent, height, digest, outputs_rev, since_ms, refused: false });
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

    /// A node's answer to the block of one of its templates.
    pub(super) fn proposed(&mut self, link: u16, first: bool, outcome: &Result<Vec<u8>, CallError>) {
        if first && let Some(node) = self.nodes.get_mut(&link) {
            node.asked_first = false;
        }
        let Ok(answer) = outcome else { return };
        let (verdict, reason) = solved::read_reply(answer);
        // "inconclusive-not-best-prevblk": the tip moved meanwhile.
        let refused =
            verdict == Verdict::Rejected && !reason.contains("inconclusive") && !reason.contains("duplicate");
        if refused {
            if let Some(node) = self.nodes.get_mut(&link) {
                node.doubted = true;
                self.actions.push(Action::Timer((u32::from(link), RETRY_MS)));
            }
            // What miners never saw is nothing to take back; of what they have, nobody knows which part is bad.
            if !first && let Some(shown) = &mut self.shown {
                shown.refused = true;
            }
            self.alarm(!first, format!("node {link} refuses the block of our job: {reason}"));
            if !first {
                self.ask_best();
            }
        } else if first && verdict == Verdict::Accepted {
            if let Some(node) = self.nodes.get_mut(&link) {
                node.doubted = false;
            }
            self.ask_template(link);
        }
    }
}

fn job<M>(work: Work, template: &Template<M>, outputs_rev: u64, body: u64) -> Result<Job, String> {
    let private = Private { paid: work.paid, slices: template.slices.clone(), more: work.more }.write();
    if private.len() > MAX_PRIVATE {
        return Err(format!(
            "{} transactions and what the coin keeps need {} bytes, a job can keep {MAX_PRIVATE}",
            template.slices.len(),
            private.len()
        ));
    }
    Ok(Job {
        parent: template.parent.to_vec(),
        coord: template.height,
        recipe: work.recipe,
        consts: work.consts,
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

/// How a job tells its subsidy, in ledger units.
fn told_subsidy(subsidy: u64) -> (String, Vec<u8>) {
    ("subsidy".to_owned(), subsidy.to_le_bytes().to_vec())
}

/// Parameters of the call that has the node check a block of this template.
fn proposal<M>(
    block: Block,
    template: &Template<M>,
    answer: &[u8],
    rules: &[String],
) -> Result<String, String> {
    let mut params = br#"[{"mode":"proposal","data":""#.to_vec();
    params.extend(hex::encode(&block.start).into_bytes());
    let transactions = template.slices.iter().map(|place| Chunk::Body(*place));
    for chunk in transactions.chain(block.end) {
        match chunk {
            Chunk::Literal(text) => params.extend(text),
            Chunk::Body((offset, length)) => {
                params.extend(answer.iter().skip(offset as usize).take(length as usize));
            }
        }
    }
    params.extend(format!(r#"","rules":{rules:?}}}]"#).into_bytes());
    String::from_utf8(params).map_err(|_| "a transaction is not hex".to_owned())
}
