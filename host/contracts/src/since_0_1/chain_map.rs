//! Between the records of 0.1 and the core types of a chain adapter.

use super::chain::bindings::exports::millpond::chain::{payee, settlement};
use super::chain::bindings::millpond::chain::types as wit;
use super::chain::codec_bindings::exports::millpond::chain::codec;
use crate::chain::{
    Action, Assembled, Call, Chunk, Coin, Decoded, Description, Event, Fate, Frame, Happening, Income,
    IncomeAt, Job, NodeErrorKind, Outgoing, Payee, PaymentPlan, PaymentRow, PaymentView, Request, Solution,
    Transport, TransportKind, Unsigned, Verdict, Watched,
};
use millpond_types::Amount;

impl From<wit::Description> for Description {
    fn from(d: wit::Description) -> Self {
        Self {
            network: d.network,
            recipes: d.recipes,
            dialects: d.dialects,
            transports: d.transports.into_iter().map(Transport::from).collect(),
            diff1: d.diff1,
            work_shift: d.work_shift,
            scale: d.scale,
            decimals: d.decimals,
            extranonce: d.extranonce,
            final_after: d.final_after,
            settlement: d.settlement,
            extra: d.extra,
        }
    }
}

impl From<wit::Transport> for Transport {
    fn from(transport: wit::Transport) -> Self {
        let kind = match transport.kind {
            wit::Kind::JsonrpcHttp => TransportKind::JsonrpcHttp,
            wit::Kind::JsonrpcWs => TransportKind::JsonrpcWs,
            wit::Kind::GrpcStream => TransportKind::GrpcStream,
            wit::Kind::GrpcUnary => TransportKind::GrpcUnary,
            wit::Kind::ZmqSub => TransportKind::ZmqSub,
            wit::Kind::Webhook => TransportKind::Webhook,
        };
        Self { name: transport.name, kind, methods: transport.methods }
    }
}

impl From<&Watched> for wit::Watched {
    fn from(watched: &Watched) -> Self {
        let Watched { block, coord, since_ms, saved } = watched.clone();
        Self { block, coord, since_ms, saved }
    }
}

impl From<&Event> for wit::Event {
    fn from(event: &Event) -> Self {
        Self { seq: event.seq, now_ms: event.now_ms, what: (&event.what).into() }
    }
}

fn outputs(outputs: &[crate::chain::Output]) -> Vec<wit::Output> {
    outputs.iter().map(|o| wit::Output { payee: o.payee.clone(), weight: o.weight }).collect()
}

fn auxes(auxes: &[crate::chain::Aux]) -> Vec<wit::Aux> {
    auxes.iter().map(|a| wit::Aux { chain: a.chain.clone(), hash: a.hash.clone() }).collect()
}

impl From<&Happening> for wit::Happening {
    fn from(what: &Happening) -> Self {
        match what {
            Happening::Start(start) => Self::Start(wit::Start {
                saved: start.saved.clone(),
                watching: start.watching.iter().map(Into::into).collect(),
                revision: start.revision,
                outputs: outputs(&start.outputs),
                aux: auxes(&start.aux),
            }),
            Happening::Link { link, up } => Self::Link((*link, *up)),
            Happening::Reply(reply) => Self::Reply(wit::Reply {
                id: reply.id,
                link: reply.link,
                outcome: match &reply.outcome {
                    Ok(bytes) => Ok(bytes.to_vec()),
                    Err(error) => Err(wit::CallError {
                        kind: match error.kind {
                            NodeErrorKind::Timeout => wit::ErrorKind::Timeout,
                            NodeErrorKind::Unreachable => wit::ErrorKind::Unreachable,
                            NodeErrorKind::Refused => wit::ErrorKind::Refused,
                            NodeErrorKind::Rpc => wit::ErrorKind::Rpc,
                            NodeErrorKind::TooLarge => wit::ErrorKind::TooLarge,
                            NodeErrorKind::Denied => wit::ErrorKind::Denied,
                        },
                        code: error.code,
                        message: error.message.clone(),
                    }),
                },
                body: reply.body,
            }),
            Happening::Push(push) => Self::Push(wit::Push {
                link: push.link,
                transport: push.transport,
                topic: push.topic.clone(),
                data: push.data.clone(),
                body: push.body,
            }),
            Happening::Timer(id) => Self::Timer(*id),
            Happening::Outputs { revision, outputs: given } => Self::Outputs((*revision, outputs(given))),
            Happening::Aux { revision, aux } => Self::Aux((*revision, auxes(aux))),
            Happening::Watch(watched) => Self::Watch(watched.into()),
            Happening::Other(key, value) => Self::Other((key.clone(), value.clone())),
        }
    }
}

impl From<wit::Action> for Action {
    fn from(action: wit::Action) -> Self {
        match action {
            wit::Action::Call(call) => Self::Call(Call {
                id: call.id,
                transport: call.transport,
                method: call.method,
                body: call.body,
                link: call.link,
                timeout_ms: call.timeout_ms,
            }),
            wit::Action::Send((link, transport, message)) => Self::Send { link, transport, message },
            wit::Action::Timer((id, ms)) => Self::Timer { id, ms },
            wit::Action::Publish(job) => Self::Publish(job.into()),
            wit::Action::Tip((parent, coord)) => Self::Tip { parent, coord },
            wit::Action::Fate((block, fate)) => Self::Fate {
                block,
                fate: match fate {
                    wit::Fate::Pending(depth) => Fate::Pending(depth),
                    wit::Fate::Accepted(depth) => Fate::Accepted(depth),
                    wit::Fate::Orphan(why) => Fate::Orphan(why),
                    wit::Fate::Final => Fate::Final,
                },
            },
            wit::Action::Income(income) => Self::Income(Income {
                key: income.key,
                amount: Amount(income.amount),
                at: match income.at {
                    wit::IncomeAt::Block(block) => IncomeAt::Block(block),
                    wit::IncomeAt::Coord(coord) => IncomeAt::Coord(coord),
                },
                mature: income.mature,
            }),
            wit::Action::IncomeLost(key) => Self::IncomeLost(key),
            wit::Action::Unfit((link, reason)) => Self::Unfit { link, reason },
            wit::Action::Save(bytes) => Self::Save(bytes),
            wit::Action::Alarm((stop, text)) => Self::Alarm { stop, text },
            wit::Action::Other((key, value)) => Self::Other(key, value),
        }
    }
}

impl From<wit::Job> for Job {
    fn from(job: wit::Job) -> Self {
        Self {
            parent: job.parent,
            coord: job.coord,
            recipe: job.recipe,
            consts: job.consts,
            network_target: job.network_target,
            reward: Amount(job.reward),
            outputs_rev: job.outputs_rev,
            aux_rev: job.aux_rev,
            warm: job.warm,
            private: job.private,
            body: job.body,
            expires_ms: job.expires_ms,
            extra: job.extra,
        }
    }
}

impl From<&Solution> for wit::Solution {
    fn from(solution: &Solution) -> Self {
        let Solution { private, fields, results, proof } = solution.clone();
        Self { private, fields, results, proof }
    }
}

impl From<wit::Assembled> for Assembled {
    fn from(assembled: wit::Assembled) -> Self {
        let chunk = |chunk| match chunk {
            wit::Chunk::Literal(bytes) => Chunk::Literal(bytes),
            wit::Chunk::Body((offset, length)) => Chunk::Body { offset, length },
        };
        Self {
            block: assembled.block,
            transport: assembled.transport,
            method: assembled.method,
            request: assembled.request.into_iter().map(chunk).collect(),
        }
    }
}

impl From<wit::Verdict> for Verdict {
    fn from(verdict: wit::Verdict) -> Self {
        match verdict {
            wit::Verdict::Accepted => Self::Accepted,
            wit::Verdict::Duplicate => Self::Duplicate,
            wit::Verdict::Stale => Self::Stale,
            wit::Verdict::Rejected => Self::Rejected,
            wit::Verdict::Retry => Self::Retry,
        }
    }
}

impl From<payee::Payee> for Payee {
    fn from(payee: payee::Payee) -> Self {
        Self { payee: payee.payee, address: payee.address, worker: payee.worker, extra: payee.extra }
    }
}

impl From<&PaymentRow> for settlement::Row {
    fn from(row: &PaymentRow) -> Self {
        Self { payee: row.payee.clone(), address: row.address.clone(), amount: row.amount.0 }
    }
}

impl From<&PaymentView> for settlement::View {
    fn from(view: &PaymentView) -> Self {
        let coin = |c: &Coin| settlement::Coin {
            id: c.id.clone(),
            amount: c.amount.0,
            coord: c.coord,
            data: c.data.clone(),
        };
        Self {
            coord: view.coord,
            fee_rate: view.fee_rate,
            coins: view.coins.iter().map(coin).collect(),
            max_fee: view.max_fee.0,
        }
    }
}

impl From<settlement::Coin> for Coin {
    fn from(coin: settlement::Coin) -> Self {
        Self { id: coin.id, amount: Amount(coin.amount), coord: coin.coord, data: coin.data }
    }
}

impl From<settlement::Plan> for PaymentPlan {
    fn from(plan: settlement::Plan) -> Self {
        match plan {
            settlement::Plan::Batches(batches) => Self::Batches(batches),
            settlement::Plan::Transactions(transactions) => {
                let map = |t: settlement::Unsigned| Unsigned {
                    rows: t.rows,
                    coins: t.coins,
                    change: Amount(t.change),
                    fee: Amount(t.fee),
                    tx: t.tx,
                };
                Self::Transactions(transactions.into_iter().map(map).collect())
            }
        }
    }
}

impl From<&Frame> for codec::Frame {
    fn from(frame: &Frame) -> Self {
        Self { conn: frame.conn, data: frame.data.clone() }
    }
}

impl From<codec::Frame> for Frame {
    fn from(frame: codec::Frame) -> Self {
        Self { conn: frame.conn, data: frame.data }
    }
}

impl From<codec::Decoded> for Decoded {
    fn from(decoded: codec::Decoded) -> Self {
        let what = match decoded.what {
            codec::Request::Hello(agent) => Request::Hello(agent),
            codec::Request::Login((name, password)) => Request::Login(name, password),
            codec::Request::Submit((job, fields)) => Request::Submit(job, fields),
            codec::Request::Known(what) => Request::Known(what),
            codec::Request::Bad(why) => Request::Bad(why),
        };
        Self { conn: decoded.conn, id: decoded.id, what }
    }
}

impl From<&Outgoing> for codec::Outgoing {
    fn from(outgoing: &Outgoing) -> Self {
        let Outgoing { conn, id, message, values } = outgoing.clone();
        Self { conn, id, message, values }
    }
}
