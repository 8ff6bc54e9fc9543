//! What a miner's line means, in words of a pool and not of a family.

use crate::document::Handler;
use crate::small::{Fields, Short};
use std::borrow::Cow;
use std::sync::Arc;

/// A decoded line: what it asks, and the handle to answer it by.
#[derive(Clone, Debug)]
pub struct Decoded<'l> {
    /// Needed to answer, now or later; cheap to keep.
    pub call: Call,
    /// What the miner wants.
    pub intent: Intent<'l>,
}

impl Decoded<'_> {
    /// A share without values, to be filled.
    #[inline]
    pub(crate) fn share() -> Self {
        let call = Call { id: Short::new("null"), handler: None, known: false, options: Vec::new() };
        let share = Submit { worker: None, job: JobRef::Id(Cow::Borrowed("")), fields: Fields::default() };
        Self { call, intent: Intent::Submit(share) }
    }

    /// The same, for longer than the line.
    #[must_use]
    pub fn into_owned(self) -> Decoded<'static> {
        Decoded { call: self.call, intent: self.intent.into_owned() }
    }
}

/// One request of a miner, as far as its answer needs it: the id to echo and the document's handler.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) id: Short,
    pub(crate) handler: Option<Arc<Handler>>,
    /// The document knows the method, though perhaps not with these parameters.
    pub(crate) known: bool,
    /// Options that were asked for, in the miner's order.
    pub(crate) options: Vec<Asked>,
}

/// One option of a negotiation.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its place in the handler's table.
    pub(crate) rule: usize,
    pub(crate) name: String,
    /// Whether its parameters could be read and the pool can keep what it asks; if not it is denied, and the rest of the
    /// negotiation goes on.
    pub(crate) possible: bool,
}

impl Call {
    /// The id as raw JSON text, echoed verbatim: a number, a string or `null`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Whether the reply itself carries a job (`with job`): the values given to
    /// [`crate::Dialect::encode_reply`] then have to include the current job's registers.
    #[must_use]
    pub fn wants_job(&self) -> bool {
        self.handler.as_ref().is_some_and(|handler| handler.with_job)
    }

    /// The least difficulty that an option asks for cannot be kept: the reply denies it.
    pub fn deny_least(&mut self) {
        let Some(handler) = &self.handler else { return };
        for asked in &mut self.options {
            let rule = handler.options.get(asked.rule);
            asked.possible &= !rule.is_some_and(|rule| rule.ask.is_difficulty());
        }
    }

    /// Whether the line names a method of the document. What is malformed all the same is a request with wrong
    /// parameters, and not noise.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.known
    }

    /// Whether the document says that this message has no answer; the encoders then write nothing.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.handler.as_ref().is_some_and(|handler| handler.is_silent())
    }
}

/// What a line asks of the pool. A share's texts are the line's own.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // A share is what is nearly always there, and is not worth an allocation.
pub enum Intent<'l> {
    /// The miner introduces itself and asks for work (`mining.subscribe`).
    Hello {
        /// The user agent, when given.
        agent: Option<String>,
        /// The session id or extranonce that it would like to continue with.
        resume: Option<String>,
    },
    /// The miner names whom to credit.
    Login {
        /// The login as sent, with control characters removed; not checked otherwise.
        user: String,
        /// The password, when there is one; options such as `d=1024` stand in it.
        password: Option<String>,
        /// The user agent in dialects without a hello of its own: this login is the hello too.
        agent: Option<String>,
    },
    /// A share.
    Submit(Submit<'l>),
    /// The miner asks for session features; each is granted or not by what the session has afterwards.
    Negotiate(Vec<Request>),
    /// The miner accepts a new extranonce at any time.
    ExtranonceUpdates,
    /// The miner asks for another difficulty.
    Suggest(Suggestion),
    /// The miner polls for a job, which the reply carries.
    GetJob,
    /// The document alone answers: encode the reply.
    Static,
    /// The miner answers a question of the pool (a push such as [`Push::Version`]); there is nothing to answer.
    Answer {
        /// What it said, where that is text; control characters removed.
        text: Option<String>,
    },
    /// Nothing to do and nothing to answer.
    Ignored,
    /// A method that the document does not name: answer [`Failure::UnknownMethod`].
    Unknown {
        /// The method, cut to 64 characters.
        method: String,
    },
    /// A line that breaks the rules: answer [`Failure::Other`] with `why`, and count it against the peer.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

impl Intent<'_> {
    /// The same, for longer than the line.
    #[must_use]
    pub fn into_owned(self) -> Intent<'static> {
        match self {
            Self::Submit(share) => Intent::Submit(share.into_owned()),
            Self::Hello { agent, resume } => Intent::Hello { agent, resume },
            Self::Login { user, password, agent } => Intent::Login { user, password, agent },
            Self::Negotiate(requests) => Intent::Negotiate(requests),
            Self::ExtranonceUpdates => Intent::ExtranonceUpdates,
            Self::Suggest(suggestion) => Intent::Suggest(suggestion),
            Self::GetJob => Intent::GetJob,
            Self::Static => Intent::Static,
            Self::Answer { text } => Intent::Answer { text },
            Self::Ignored => Intent::Ignored,
            Self::Unknown { method } => Intent::Unknown { method },
            Self::Malformed { why } => Intent::Malformed { why },
        }
    }
}

/// A session feature that a miner asked for. The server puts what it grants into the session's values before it
/// encodes the reply: a field counts as granted when its value is there and not all zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A field to be negotiated (the recipe's `session` constant of that name): grant the miner's value masked by
    /// what the pool allows.
    Field {
        /// The name of the field.
        field: String,
        /// What the miner can do.
        value: Vec<u8>,
    },
    /// As [`Intent::ExtranonceUpdates`].
    ExtranonceUpdates,
    /// The least difficulty that the miner takes (BIP 310's minimum-difficulty): a wish that is granted is a promise.
    /// What cannot be kept is denied by [`Call::deny_least`].
    Least(Suggestion),
}

/// The difficulty that a miner would like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suggestion {
    /// A difficulty in the dialect's own scale; positive and finite.
    Difficulty(f64),
    /// A target, 32 bytes big-endian.
    Target([u8; 32]),
}

/// A share as submitted.
#[derive(Clone)]
pub struct Submit<'l> {
    /// The worker's name in this message, which may differ from the login's.
    pub worker: Option<Cow<'l, str>>,
    /// Which job.
    pub job: JobRef<'l>,
    pub(crate) fields: Fields,
}

impl Submit<'_> {
    /// The bytes of one field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name)
    }

    /// The recipe's share fields by name, in the document's order, in the recipe's byte order. `xn` is whole: the
    /// session's prefix and the miner's part.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }

    /// The same, for longer than the line.
    #[must_use]
    pub fn into_owned(self) -> Submit<'static> {
        Submit {
            worker: self.worker.map(|worker| Cow::Owned(worker.into_owned())),
            job: match self.job {
                JobRef::Id(id) => JobRef::Id(Cow::Owned(id.into_owned())),
                JobRef::Register { name, value } => JobRef::Register { name, value },
            },
            fields: self.fields,
        }
    }
}

impl PartialEq for Submit<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.worker == other.worker && self.job == other.job && self.fields().eq(other.fields())
    }
}

impl Eq for Submit<'_> {}

impl std::fmt::Debug for Submit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<_> = self.fields().collect();
        f.debug_struct("Submit")
            .field("worker", &self.worker)
            .field("job", &self.job)
            .field("fields", &fields)
            .finish()
    }
}

/// How a share names its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRef<'l> {
    /// The id that the job was sent with; a number is given as its text.
    Id(Cow<'l, str>),
    /// The value of a job- or session-stage register (a getwork-like dialect without job ids).
    Register {
        /// The register's name in the recipe.
        name: Arc<str>,
        /// Its value.
        value: Vec<u8>,
    },
}

/// Why a request is refused; the document gives each a code and a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Anything else; give the detail.
    Other,
    /// A job that was live once.
    Stale,
    /// A job that this pool never gave to this miner.
    UnknownJob,
    /// A share that was accepted before.
    Duplicate,
    /// A hash that does not meet the target.
    LowDifficulty,
    /// A submit of a miner who did not log in, or a login that was refused.
    Unauthorized,
    /// A submit before the subscription.
    NotSubscribed,
    /// A method that the dialect does not know.
    UnknownMethod,
}

/// A message that the pool starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Push {
    /// A job.
    Job,
    /// The share target or difficulty.
    Target,
    /// A new extranonce.
    Extranonce,
    /// A change of the negotiated mask.
    Mask,
    /// Go to another address: `{host}`, `{port}`, `{wait}` (seconds).
    Reconnect,
    /// A text for the miner's screen: `{text}`.
    Message,
    /// Ask the miner for its version.
    Version,
    /// Ask the miner for a sign of life.
    Ping,
}

/// The extranonce that a session mines with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extranonce<'a> {
    /// The part that the pool fixed for this session.
    pub prefix: &'a [u8],
    /// Bytes of the whole field, prefix included.
    pub size: usize,
}

/// What the engine must know of a session to read its lines.
pub trait SessionView {
    /// Whether the hello was answered.
    fn subscribed(&self) -> bool {
        false
    }

    /// Whether a login was accepted.
    fn authorized(&self) -> bool {
        false
    }

    /// Whether the miner said that it accepts new extranonces.
    fn extranonce_updates(&self) -> bool {
        false
    }

    /// The miner's user agent, empty before the hello.
    fn agent(&self) -> &str {
        ""
    }

    /// The extranonce that the session had when it was given this job; for an unknown job the present one.
    fn extranonce(&self, job: &JobRef<'_>) -> Extranonce<'_>;

    /// A negotiated field's value, `None` before it was granted.
    fn negotiated(&self, field: &str) -> Option<&[u8]>;
}

/// A connection that has said nothing yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewSession;

impl SessionView for NewSession {
    fn extranonce(&self, _job: &JobRef<'_>) -> Extranonce<'_> {
        Extranonce::default()
    }

    fn negotiated(&self, _field: &str) -> Option<&[u8]> {
        None
    }
}
