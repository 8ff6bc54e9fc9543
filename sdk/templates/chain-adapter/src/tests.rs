//! The adapter as the host drives it, natively: events in, actions out.

use super::*;
use millpond_sdk::chain::Start;

/// What the node answers to `getwork`.
fn work_of(head: &str) -> String {
    let (parent, target) = ("aa".repeat(32), format!("00000{}", "f".repeat(59)));
    format!(r#"{{"head":"{head}","parent":"{parent}","target":"{target}","height":7,"reward":5000}}"#)
}

struct Host {
    adapter: Plugin,
    seq: u64,
}

impl Host {
    fn start(watching: Vec<Watched>) -> (Self, Vec<Action>) {
        let (adapter, _) = Plugin::new(Vec::new()).unwrap();
        let mut host = Self { adapter, seq: 0 };
        let start = Start { saved: vec![], watching, revision: 1, outputs: vec![], aux: vec![] };
        host.event(Happening::Start(start));
        let actions = host.event(Happening::Link((0, true)));
        (host, actions)
    }

    fn event(&mut self, what: Happening) -> Vec<Action> {
        self.seq += 1;
        self.adapter.handle(Event { seq: self.seq, now_ms: 1_700_000_000_000, what }).unwrap()
    }

    fn answer(&mut self, actions: &[Action], method: &str, text: &str) -> Vec<Action> {
        let id = actions.iter().find_map(|action| match action {
            Action::Call(call) if call.method == method => Some(call.id),
            _ => None,
        });
        let id = id.unwrap_or_else(|| panic!("{method} was not called: {actions:?}"));
        self.event(Happening::Reply(Reply { id, link: 0, outcome: Ok(text.as_bytes().to_vec()), body: 1 }))
    }
}

#[test]
fn new_work_becomes_a_job_and_equal_work_does_not() {
    let (mut host, actions) = Host::start(vec![]);
    let actions = host.answer(&actions, "getwork", &work_of("0102"));
    assert!(matches!(actions.as_slice(), [Action::Tip((parent, 7)), Action::Publish(job)]
        if *parent == [0xaa; 32] && job.reward == 5000 && job.consts[0] == [1, 2]));
    let actions = host.event(Happening::Timer(POLL));
    assert_eq!(host.answer(&actions, "getwork", &work_of("0102")), []);
}

#[test]
fn a_block_of_ours_is_followed_until_it_is_final() {
    let block = vec![9; 32];
    let watched =
        Watched { block: block.clone(), coord: 7, since_ms: 0, saved: 5000_u64.to_le_bytes().to_vec() };
    let (mut host, _) = Host::start(vec![watched]);
    let mut seen = |confirmations: i64| {
        let actions = host.event(Happening::Timer(POLL));
        host.answer(&actions, "getblockinfo", &format!("{{\"confirmations\":{confirmations}}}"))
    };
    let income = |mature| {
        let (key, at) = (block.clone(), IncomeAt::Block(block.clone()));
        Action::Income(Income { key, amount: 5000, at, mature })
    };
    let fate = |fate| Action::Fate((block.clone(), fate));
    assert_eq!(seen(1), [fate(Fate::Accepted(1)), income(false)]);
    assert!(matches!(seen(-1).as_slice(), [Action::Fate((_, Fate::Orphan(_))), Action::IncomeLost(_)]));
    assert_eq!(seen(2), [fate(Fate::Accepted(2)), income(false)]);
    assert_eq!(seen(20), [fate(Fate::Final), income(true)]);
}

#[test]
fn a_solution_becomes_a_call_with_its_header() {
    let (adapter, _) = Plugin::new(Vec::new()).unwrap();
    let solution = Solution { private: vec![], fields: vec![], results: vec![vec![1, 2]], proof: None };
    let assembled = adapter.assemble(solution).unwrap();
    assert_eq!(assembled.request, [Chunk::Literal(b"[\"0102\"]".to_vec())]);
    assert_eq!(adapter.read_reply("submitwork", b"true").0, Verdict::Accepted);
    assert!(adapter.resolve("nonsense").unwrap_err().contains("no address"));
}

#[test]
fn an_answer_that_makes_no_sense_fails_its_event_and_nothing_else() {
    let (mut host, actions) = Host::start(vec![]);
    let id = 1;
    assert!(matches!(&actions[..], [Action::Call(call)] if call.id == id));
    let reply = Reply { id, link: 0, outcome: Ok(b"{\"height\":".to_vec()), body: 1 };
    assert!(host.adapter.handle(Event { seq: 3, now_ms: 1, what: Happening::Reply(reply) }).is_err());
    let actions = host.event(Happening::Timer(POLL));
    assert_eq!(host.answer(&actions, "getwork", &work_of("0102")).len(), 2);
}
