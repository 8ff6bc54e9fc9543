//! Chain adapters of 0.1: the warm actor, and pure calls in fresh instances; algorithms are in [`super::pow`].

use super::fresh::{Fresh, Instantiate, instantiate};
use super::pow::{Batch, WarmPow};
use super::{settings_size, settings_to, signatures};
use crate::chain::{
    Action, AdapterActor, Assembled, ChainAdapter, Coin, Decoded, Description, Event, Frame, Happening,
    Optional, Outgoing, Payee, PaymentPlan, PaymentRow, PaymentView, PowFigures, Solution, Verdict,
};
use crate::{CallError, Outcome, Settings};
use millpond_runtime::{CallSize, Done, Guest, LogSink, Place, Plugin, Urgency, call, clean, store};
use millpond_types::Digest;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

#[allow(
    missing_docs,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/chain-0.1",
        world: "chain-adapter",
        imports: { default: trappable },
    });
}

macro_rules! optional {
    ($module:ident, $world:literal) => {
        #[allow(missing_docs, clippy::all, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
        pub(super) mod $module {
            wasmtime::component::bindgen!({
                path: "../../wit/chain-0.1",
                world: $world,
                with: { "millpond:chain/types": crate::since_0_1::chain::bindings::millpond::chain::types },
            });
        }
    };
}
optional!(pow_bindings, "pow-only");
optional!(codec_bindings, "codec-only");
optional!(session_work_bindings, "session-work-only");
optional!(merge_parent_bindings, "merge-parent-only");

use bindings::millpond::chain::types as wit;
use bindings::{ChainAdapter as Bindings, ChainAdapterPre};
use codec_bindings::{CodecOnly, CodecOnlyPre};
use merge_parent_bindings::{MergeParentOnly, MergeParentOnlyPre};
use pow_bindings::PowOnly;
pub(super) use pow_bindings::PowOnlyPre;
use session_work_bindings::{SessionWorkOnly, SessionWorkOnlyPre};

/// An optional interface beside the whole adapter: every instance is described first, through the main bindings.
pub(super) struct Beside<T>(ChainAdapterPre<Guest>, T);

macro_rules! beside {
    ($pre:ty, $bindings:ty) => {
        impl Instantiate for Beside<$pre> {
            type Bindings = (Bindings, $bindings);
            fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Self::Bindings> {
                let instance = self.0.instance_pre().instantiate(&mut *store)?;
                Ok((Bindings::new(&mut *store, &instance)?, <$bindings>::new(&mut *store, &instance)?))
            }
        }
    };
}
instantiate!(ChainAdapterPre<Guest>, Bindings);
beside!(PowOnlyPre<Guest>, PowOnly);
beside!(CodecOnlyPre<Guest>, CodecOnly);
beside!(SessionWorkOnlyPre<Guest>, SessionWorkOnly);
beside!(MergeParentOnlyPre<Guest>, MergeParentOnly);

/// Instances of a component whose exports have been checked, before it has settings.
pub(crate) struct BoundAdapter {
    main: Fresh<ChainAdapterPre<Guest>>,
    pow: Option<WarmPow>,
    codec: Option<Fresh<Beside<CodecOnlyPre<Guest>>>>,
    session_work: Option<Fresh<Beside<SessionWorkOnlyPre<Guest>>>>,
    merge_parent: Option<Fresh<Beside<MergeParentOnlyPre<Guest>>>>,
}

impl BoundAdapter {
    /// Binds a loaded component; an error says which import or export has another type than the contract's.
    pub(crate) fn bind(plugin: &Plugin, has: Optional, sink: &Arc<dyn LogSink>) -> wasmtime::Result<Self> {
        let mut linker = Linker::<Guest>::new(plugin.component().engine());
        Bindings::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let instance = linker.instantiate_pre(plugin.component())?;
        let pre = ChainAdapterPre::new(instance.clone())?;
        macro_rules! probe {
            ($has:expr, $pre:ident) => {
                match $has {
                    true => {
                        let beside = Beside(pre.clone(), $pre::new(instance.clone())?);
                        Some(Fresh::new(plugin.clone(), beside, sink.clone()))
                    }
                    false => None,
                }
            };
        }
        Ok(Self {
            pow: probe!(has.pow, PowOnlyPre).map(WarmPow::new),
            codec: probe!(has.codec, CodecOnlyPre),
            session_work: probe!(has.session_work, SessionWorkOnlyPre),
            merge_parent: probe!(has.merge_parent, MergeParentOnlyPre),
            main: Fresh::new(plugin.clone(), pre, sink.clone()).trial(&instance, signatures::adapter)?,
        })
    }

    /// `adapter.schema`.
    pub(crate) fn schema(&self) -> Outcome<String> {
        self.main.run("adapter.schema", CallSize::default(), |bindings, store| {
            bindings.millpond_chain_adapter().call_schema(store).map(Ok)
        })
    }

    /// With settings: what every instance is described with.
    pub(crate) fn with_settings(self, settings: &Settings) -> Result<AdapterComponent, CallError> {
        let given = settings_to!(wit, settings);
        let size = CallSize::bytes(settings_size(settings));
        let done = self.main.run("adapter.describe", size, |bindings, store| {
            bindings.millpond_chain_adapter().call_describe(store, &given)
        })?;
        let optional = Optional {
            pow: self.pow.is_some(),
            codec: self.codec.is_some(),
            session_work: self.session_work.is_some(),
            merge_parent: self.merge_parent.is_some(),
        };
        Ok(AdapterComponent {
            bound: Arc::new(self),
            settings: settings.clone(),
            given,
            description: Arc::new(done.value.into()),
            optional,
        })
    }
}

/// An adapter's component with its settings.
pub(crate) struct AdapterComponent {
    bound: Arc<BoundAdapter>,
    settings: Settings,
    given: Vec<(String, wit::Setting)>,
    description: Arc<Description>,
    optional: Optional,
}

impl AdapterComponent {
    /// A pure call in a fresh, described instance.
    fn pure<T>(
        &self,
        function: &str,
        bytes: usize,
        run: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<Result<T, String>>,
    ) -> Outcome<T> {
        self.pure_as(Urgency::Ordinary, function, bytes, run)
    }

    /// As [`AdapterComponent::pure`], by how urgent the call is.
    fn pure_as<T>(
        &self,
        urgency: Urgency,
        function: &str,
        bytes: usize,
        run: impl FnOnce(&Bindings, &mut Store<Guest>) -> wasmtime::Result<Result<T, String>>,
    ) -> Outcome<T> {
        let size = CallSize::bytes(bytes.saturating_add(settings_size(&self.settings)));
        self.bound.main.run_as(urgency, function, size, |bindings, store| {
            match bindings.millpond_chain_adapter().call_describe(&mut *store, &self.given)? {
                Ok(_) => run(bindings, store),
                Err(message) => Ok(Err(format!("describe: {message}"))),
            }
        })
    }

    fn beside<P, B, T>(
        &self,
        function: &str,
        fresh: Option<&Fresh<Beside<P>>>,
        bytes: usize,
        run: impl FnOnce(&B, &mut Store<Guest>) -> wasmtime::Result<Result<T, String>>,
    ) -> Outcome<T>
    where
        Beside<P>: Instantiate<Bindings = (Bindings, B)>,
    {
        let Some(fresh) = fresh else {
            return Err(host_error(function, NOT_EXPORTED));
        };
        let size = CallSize::bytes(bytes.saturating_add(settings_size(&self.settings)));
        fresh.run(function, size, |(main, own), store| {
            match main.millpond_chain_adapter().call_describe(&mut *store, &self.given)? {
                Ok(_) => run(own, store),
                Err(message) => Ok(Err(format!("describe: {message}"))),
            }
        })
    }
}

const NOT_EXPORTED: &str = "the adapter does not export this optional interface";

fn host_error(function: &str, message: &str) -> CallError {
    CallError::Host { function: function.to_owned(), message: message.to_owned() }
}

/// Holds a result to the length it must have.
pub(super) fn of_length<T>(function: &str, done: Done<Vec<T>>, length: usize) -> Outcome<Vec<T>> {
    if done.value.len() == length {
        return Ok(done);
    }
    let message = format!("it gave {} results for {length} inputs", done.value.len());
    Err(CallError::Host { function: function.to_owned(), message })
}

fn solution_size(solution: &Solution) -> usize {
    let lists = [&solution.fields, &solution.results];
    let lists: usize = lists.iter().flat_map(|list| list.iter()).map(|item| item.len() + 8).sum();
    solution.private.len() + lists + solution.proof.as_ref().map_or(0, Vec::len)
}

impl ChainAdapter for AdapterComponent {
    fn digest(&self) -> Digest {
        self.bound.main.plugin.digest()
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn optional(&self) -> Optional {
        self.optional
    }

    fn start_actor(&self) -> Result<Box<dyn AdapterActor>, CallError> {
        let function = "adapter.describe";
        let budget = self.bound.main.budget(function, CallSize::bytes(settings_size(&self.settings)))?;
        let place = self.bound.main.plugin.place(Urgency::Urgent, function)?;
        let mut store = store(&self.bound.main.plugin, budget, self.bound.main.log.clone());
        let done = call(&mut store, function, budget, |store| {
            let bindings = self.bound.main.pre.instantiate(&mut *store)?;
            let described = bindings.millpond_chain_adapter().call_describe(store, &self.given)?;
            Ok(described.map(|description| (bindings, Description::from(description))))
        })?;
        let (bindings, description) = done.value;
        if description != *self.description {
            return Err(host_error(
                function,
                "it describes itself otherwise than at load: a description depends on the settings alone",
            ));
        }
        Ok(Box::new(Actor {
            store,
            bindings,
            bound: self.bound.clone(),
            largest: 0,
            gone: None,
            _place: place,
        }))
    }

    fn assemble(&self, solution: &Solution) -> Outcome<Assembled> {
        let given = solution.into();
        let size = solution_size(solution);
        self.pure_as(Urgency::Urgent, "block.assemble", size, |bindings, store| {
            Ok(bindings.millpond_chain_block().call_assemble(store, &given)?.map(Assembled::from))
        })
    }

    fn read_reply(&self, method: &str, reply: &[u8]) -> Outcome<(Verdict, String)> {
        let size = method.len() + reply.len();
        self.pure_as(Urgency::Urgent, "block.read-reply", size, |bindings, store| {
            let (verdict, words) =
                bindings.millpond_chain_block().call_read_reply(store, method, &reply.to_vec())?;
            Ok(Ok((verdict.into(), clean(&words, 512))))
        })
    }

    fn resolve(&self, names: &[String]) -> Outcome<Vec<Result<Payee, String>>> {
        let bytes = names.iter().map(|name| name.len() + 16).sum();
        let done = self.pure("payee.resolve", bytes, |bindings, store| {
            let resolved = bindings.millpond_chain_payee().call_resolve(store, names)?;
            let map = |one: Result<_, String>| one.map(Payee::from).map_err(|why| clean(&why, 256));
            Ok(Ok(resolved.into_iter().map(map).collect::<Vec<_>>()))
        })?;
        of_length("payee.resolve", done, names.len())
    }

    fn plan_payment(&self, rows: &[PaymentRow], view: &PaymentView) -> Outcome<PaymentPlan> {
        let row_bytes: usize = rows.iter().map(|row| row.payee.len() + row.address.len() + 24).sum();
        let coin_bytes: usize = view.coins.iter().map(|coin| coin.id.len() + coin.data.len() + 32).sum();
        let (given_rows, view) = (rows.iter().map(Into::into).collect::<Vec<_>>(), view.into());
        self.pure("settlement.plan-payment", row_bytes + coin_bytes, |bindings, store| {
            let settlement = bindings.millpond_chain_settlement();
            Ok(settlement.call_plan_payment(store, &given_rows, &view)?.map(PaymentPlan::from))
        })
    }

    fn read_coins(&self, reply: &[u8]) -> Outcome<Vec<Coin>> {
        self.pure("settlement.read-coins", reply.len(), |bindings, store| {
            let coins = bindings.millpond_chain_settlement().call_read_coins(store, &reply.to_vec())?;
            Ok(coins.map(|coins| coins.into_iter().map(Coin::from).collect()))
        })
    }

    fn find(&self, marker: &str, history: &[u8]) -> Outcome<Option<Vec<u8>>> {
        self.pure("settlement.find", marker.len() + history.len(), |bindings, store| {
            bindings.millpond_chain_settlement().call_find(store, marker, &history.to_vec())
        })
    }

    fn decode(&self, dialect: u16, frames: &[Frame]) -> Outcome<Vec<Decoded>> {
        let bytes = frames.iter().map(|frame| frame.data.len() + 16).sum();
        let given: Vec<_> = frames.iter().map(Into::into).collect();
        self.beside("codec.decode", self.bound.codec.as_ref(), bytes, |own: &CodecOnly, store| {
            let decoded = own.millpond_chain_codec().call_decode(store, dialect, &given)?;
            Ok(Ok(decoded.into_iter().map(Decoded::from).collect()))
        })
    }

    fn encode(&self, dialect: u16, messages: &[Outgoing]) -> Outcome<Vec<Frame>> {
        let values = |message: &Outgoing| message.values.iter().map(|value| value.len() + 8).sum::<usize>();
        let bytes = messages.iter().map(|m| m.id.len() + m.message.len() + values(m) + 32).sum();
        let given: Vec<_> = messages.iter().map(Into::into).collect();
        self.beside("codec.encode", self.bound.codec.as_ref(), bytes, |own: &CodecOnly, store| {
            let frames = own.millpond_chain_codec().call_encode(store, dialect, &given)?;
            Ok(Ok(frames.into_iter().map(Frame::from).collect()))
        })
    }

    fn session_consts(&self, private: &[u8], payees: &[Vec<u8>]) -> Outcome<Vec<Vec<Vec<u8>>>> {
        let function = "session-work.consts";
        let bytes = private.len() + payees.iter().map(|payee| payee.len() + 8).sum::<usize>();
        let own = self.bound.session_work.as_ref();
        let done = self.beside(function, own, bytes, |own: &SessionWorkOnly, store| {
            own.millpond_chain_session_work().call_consts(store, &private.to_vec(), payees)
        })?;
        of_length(function, done, payees.len())
    }

    fn prove(&self, solution: &Solution, aux: u32) -> Outcome<Vec<u8>> {
        let (given, bytes) = (solution.into(), solution_size(solution));
        let own = self.bound.merge_parent.as_ref();
        self.beside("merge-parent.prove", own, bytes, |own: &MergeParentOnly, store| {
            own.millpond_chain_merge_parent().call_prove(store, &given, aux)
        })
    }

    fn pow(&self, algorithm: &str, key: &[u8], width: u32, inputs: &[u8]) -> Outcome<Vec<u8>> {
        let function = "pow.run";
        let each = usize::try_from(width).unwrap_or(usize::MAX);
        if each == 0 || !inputs.len().is_multiple_of(each) {
            return Err(host_error(function, "the inputs are not of one width"));
        }
        let Some(pow) = &self.bound.pow else { return Err(host_error(function, NOT_EXPORTED)) };
        let (key, inputs) = (key.to_vec(), inputs.to_vec());
        let batch = Batch { algorithm, key, width, count: inputs.len() / each, inputs };
        pow.run(&self.given, settings_size(&self.settings), &batch)
    }

    fn pow_figures(&self) -> PowFigures {
        self.bound.pow.as_ref().map_or_else(PowFigures::default, WarmPow::figures)
    }

    fn rest(&self, after: Duration) {
        if let Some(pow) = &self.bound.pow {
            pow.rest(after);
        }
    }
}

/// The warm instance.
struct Actor {
    store: Store<Guest>,
    bindings: Bindings,
    bound: Arc<BoundAdapter>,
    /// Bytes of the largest event so far: its memory stays grown, so later events are limited alike.
    largest: usize,
    /// The trap that ended it.
    gone: Option<CallError>,
    /// Freed last: fields are dropped in their order.
    _place: Place,
}

impl AdapterActor for Actor {
    fn handle(&mut self, event: &Event) -> Outcome<Vec<Action>> {
        let function = "adapter.handle";
        if let Some(first) = &self.gone {
            return Err(first.clone());
        }
        let bytes = event_size(event);
        self.largest = self.largest.max(bytes);
        let mut budget = self.bound.main.budget(function, CallSize::bytes(bytes))?;
        budget.memory = self.bound.main.budget(function, CallSize::bytes(self.largest))?.memory;
        let (given, bindings) = (event.into(), &self.bindings);
        let outcome = call(&mut self.store, function, budget, |store| {
            let actions = bindings.millpond_chain_adapter().call_handle(store, &given)?;
            Ok(actions.map(|actions| actions.into_iter().map(Action::from).collect()))
        });
        if let Err(error) = &outcome
            && error.is_trap()
        {
            self.gone = Some(error.clone());
        }
        outcome
    }
}

fn event_size(event: &Event) -> usize {
    match &event.what {
        Happening::Start(start) => {
            let watching: usize = start.watching.iter().map(|w| w.block.len() + w.saved.len() + 32).sum();
            let outputs: usize = start.outputs.iter().map(|o| o.payee.len() + 16).sum();
            start.saved.len()
                + watching
                + outputs
                + start.aux.iter().map(|a| a.chain.len() + a.hash.len()).sum::<usize>()
        }
        Happening::Reply(reply) => {
            reply.outcome.as_ref().map_or_else(|error| error.message.len(), |bytes| bytes.len())
        }
        Happening::Push(push) => push.data.len() + push.topic.len(),
        Happening::Outputs { outputs, .. } => outputs.iter().map(|o| o.payee.len() + 16).sum(),
        Happening::Aux { aux, .. } => aux.iter().map(|a| a.chain.len() + a.hash.len() + 16).sum(),
        Happening::Watch(watched) => watched.block.len() + watched.saved.len(),
        Happening::Other(key, value) => key.len() + value.len(),
        Happening::Link { .. } | Happening::Timer(_) => 0,
    }
}
