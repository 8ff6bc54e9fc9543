//! Recorded traffic: JSON lines, so that people can read and cut them.
//!
//! The first line names the adapter and its settings. Every other line is one event and what the adapter did or, where
//! a script made the recording, what the node would have said to a call from some time on. Bytes are `{"$text": …}`
//! where they are printable and `{"$hex": …}` elsewhere; the body of a reply or push, which may be megabytes, stands
//! beside its event.

use bytes::Bytes;
use millpond_chain::Recorder;
use millpond_contracts::chain::{Action, Event, Happening, NodeError, Reply};
use millpond_contracts::{Outcome, Setting, Settings};
use millpond_jobs::Origin;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};
use std::sync::Mutex;

/// The form of the file.
const VERSION: u64 = 1;
/// The longest line: a body of 32 MiB in hex and its event.
const LINE: usize = 80 << 20;

/// One event and what it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) event: Event,
    /// The actions, or the error's text.
    pub(crate) outcome: Result<Vec<Action>, String>,
}

/// What the node says to a call from this time on, until the next one of the same call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) at_ms: u64,
    pub(crate) transport: u16,
    pub(crate) method: String,
    pub(crate) body: Vec<u8>,
    /// `None`: it has the caller wait.
    pub(crate) answer: Option<Result<Vec<u8>, NodeError>>,
}

/// Recorded traffic of one adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    component: String,
    settings: Settings,
    steps: Vec<Step>,
    states: Vec<Known>,
}

/// A file that is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A line that is not what it should be.
    #[error("line {0}: {1}")]
    Line(usize, String),
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "millpond-recording")]
    version: u64,
    component: String,
    settings: Vec<(String, Setting)>,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn read(reader: impl BufRead) -> Result<Self, RecordingError> {
        let mut head: Option<Head> = None;
        let (mut steps, mut states) = (Vec::new(), Vec::new());
        for (at, line) in reader.lines().enumerate() {
            let line = line?;
            let wrong = |why: String| RecordingError::Line(at + 1, why);
            if line.len() > LINE {
                return Err(wrong(format!("{} bytes, at most {LINE}", line.len())));
            }
            if line.trim().is_empty() {
                continue;
            }
            if head.is_none() {
                let found: Head = serde_json::from_str(&line)
                    .map_err(|error| wrong(format!("no head of a recording: {error}")))?;
                if found.version != VERSION {
                    return Err(wrong(format!("form {}, this program reads {VERSION}", found.version)));
                }
                head = Some(found);
                continue;
            }
            let value: Value = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            match value.get("node") {
                Some(known) => states.push(read_state(known.clone()).map_err(wrong)?),
                None => steps.push(read_step(value).map_err(wrong)?),
            }
        }
        let head = head.ok_or_else(|| RecordingError::Line(1, "the file is empty".to_owned()))?;
        Ok(Self { component: head.component, settings: head.settings, steps, states })
    }

    /// The settings that it was recorded under.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Digest of the component that it was recorded with.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What a scripted node said at any time; nothing in a recording of real ones.
    pub(crate) fn states(&self) -> &[Known] {
        &self.states
    }
}

fn read_state(value: Value) -> Result<Known, String> {
    serde_json::from_value(unpacked(value)?).map_err(|error| format!("node: {error}"))
}

fn read_step(mut value: Value) -> Result<Step, String> {
    let object = value.as_object_mut().ok_or("not an object")?;
    let mut take = |key: &str| object.remove(key);
    let (event, body) = (take("event").ok_or("no event")?, take("body"));
    let mut event: Event =
        serde_json::from_value(unpacked(event)?).map_err(|error| format!("event: {error}"))?;
    if let Some(body) = body {
        let body: Vec<u8> =
            serde_json::from_value(unpacked(body)?).map_err(|error| format!("body: {error}"))?;
        replace_body(&mut event, body);
    }
    let outcome = match (take("actions"), take("error")) {
        (Some(actions), None) => {
            Ok(serde_json::from_value(unpacked(actions)?).map_err(|error| format!("actions: {error}"))?)
        }
        (None, Some(Value::String(error))) => Err(error),
        _ => return Err("neither actions nor an error".to_owned()),
    };
    Ok(Step { event, outcome })
}

/// Puts others in the place of the bytes that may be large, and gives those, if the event has any.
fn replace_body(event: &mut Event, with: Vec<u8>) -> Option<Bytes> {
    match &mut event.what {
        Happening::Reply(Reply { outcome: Ok(body), .. }) => Some(std::mem::replace(body, with.into())),
        Happening::Push(push) => Some(std::mem::replace(&mut push.data, with).into()),
        _ => None,
    }
}

fn bytes(bytes: &[u8]) -> Value {
    let printable = bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    match std::str::from_utf8(bytes) {
        Ok(text) if printable => json!({ "$text": text }),
        _ => json!({ "$hex": hex::encode(bytes) }),
    }
}

/// Every list of small numbers as text or hex.
fn packed(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let small: Option<Vec<u8>> =
                items.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect();
            match small {
                Some(small) if !small.is_empty() => bytes(&small),
                _ => Value::Array(items.into_iter().map(packed).collect()),
            }
        }
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, packed(value))).collect())
        }
        other => other,
    }
}

fn unpacked(value: Value) -> Result<Value, String> {
    let numbers = |bytes: Vec<u8>| Value::Array(bytes.into_iter().map(Value::from).collect());
    Ok(match value {
        Value::Array(items) => Value::Array(items.into_iter().map(unpacked).collect::<Result<_, _>>()?),
        Value::Object(members) if members.len() == 1 => match members.into_iter().next() {
            Some((key, Value::String(text))) if key == "$text" => numbers(text.into_bytes()),
            Some((key, Value::String(text))) if key == "$hex" => {
                numbers(hex::decode(&text).map_err(|error| format!("$hex: {error}"))?)
            }
            Some((key, value)) => Value::Object(Map::from_iter([(key, unpacked(value)?)])),
            None => Value::Object(Map::new()),
        },
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| Ok((key, unpacked(value)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other,
    })
}

/// Writes a recording while an adapter runs: the recorder of `millpond_chain`.
pub struct Writer<W> {
    out: Mutex<W>,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// When the head cannot be written.
    pub fn new(mut out: W, component: Digest, settings: &Settings) -> std::io::Result<Self> {
        let head = Head { version: VERSION, component: component.to_string(), settings: settings.clone() };
        writeln!(out, "{}", serde_json::to_string(&head)?)?;
        out.flush()?;
        Ok(Self { out: Mutex::new(out) })
    }

    /// Goes on with a recording that was begun.
    pub(super) fn continued(out: W) -> Self {
        Self { out: Mutex::new(out) }
    }

    /// What was written to.
    pub(super) fn into_inner(self) -> std::io::Result<W> {
        self.out.into_inner().map_err(|_| std::io::Error::other("an earlier write panicked"))
    }

    /// Writes what a node would say to a call from some time on.
    pub(super) fn state(&mut self, known: &Known) -> std::io::Result<()> {
        let line = json!({ "node": packed(serde_json::to_value(known)?) });
        let out = self.out.get_mut().map_err(|_| std::io::Error::other("an earlier write panicked"))?;
        writeln!(out, "{line}")
    }

    /// Writes one event and what it led to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn step(&self, event: &Event, outcome: &Outcome<Vec<Action>>) -> std::io::Result<()> {
        let mut event = event.clone();
        let body = replace_body(&mut event, Vec::new());
        let mut line = Map::new();
        line.insert("event".to_owned(), packed(serde_json::to_value(&event)?));
        if let Some(body) = body {
            line.insert("body".to_owned(), if body.is_empty() { json!([]) } else { bytes(&body) });
        }
        match outcome {
            Ok(done) => line.insert("actions".to_owned(), packed(serde_json::to_value(&done.value)?)),
            Err(error) => line.insert("error".to_owned(), Value::String(error.to_string())),
        };
        let text = serde_json::to_string(&Value::Object(line))?;
        let mut out = self.out.lock().map_err(|_| std::io::Error::other("an earlier write panicked"))?;
        writeln!(out, "{text}")?;
        out.flush()
    }
}

impl<W: Write + Send> Recorder for Writer<W> {
    fn event(&self, _: Origin, event: &Event, outcome: &Outcome<Vec<Action>>) {
        if let Err(error) = self.step(event, outcome) {
            eprintln!("the recording could not be written: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_contracts::Done;
    use millpond_contracts::chain::{Call, NodeError, NodeErrorKind, Push, Reply, Start};

    #[test]
    fn what_is_written_is_read_back() {
        let event = |seq, what| Event { seq, now_ms: 1_700_000_000_000, what };
        let reply = |outcome| Happening::Reply(Reply { id: 3, link: 0, outcome, body: 9 });
        let down = NodeError { kind: NodeErrorKind::Rpc, code: -5, message: "no".to_owned() };
        let events = [
            event(1, Happening::Start(Start { saved: vec![1, 255], ..Start::default() })),
            event(2, reply(Ok(br#"{"a":[1,2]}"#.as_slice().into()))),
            event(3, reply(Ok(vec![0, 1, 2].into()))),
            event(4, reply(Ok(Bytes::new()))),
            event(5, reply(Err(down))),
            event(
                6,
                Happening::Push(Push { link: 0, transport: 1, topic: "t".into(), data: vec![7; 3], body: 1 }),
            ),
        ];
        let call = Call {
            id: 1,
            transport: 0,
            method: "getwork".into(),
            body: b"[]".to_vec(),
            link: None,
            timeout_ms: 100,
        };
        let good: Outcome<Vec<Action>> = Ok(Done {
            value: vec![Action::Call(call), Action::Tip { parent: vec![9; 32], coord: 7 }],
            fuel_limit: 1,
            fuel_used: 1,
        });
        let settings = vec![("network".to_owned(), Setting::Text("regtest".into()))];
        let mut file = Vec::new();
        let writer = Writer::new(&mut file, Digest([3; 32]), &settings).unwrap();
        events.iter().for_each(|event| writer.step(event, &good).unwrap());
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(
            text.contains(r#"{"$text":"{\"a\":[1,2]}"}"#) && text.contains(r#"{"$hex":"000102"}"#),
            "{text}"
        );
        let read = Recording::read(file.as_slice()).unwrap();
        assert_eq!(read.settings(), &settings);
        assert_eq!(read.steps().iter().map(|step| step.event.clone()).collect::<Vec<_>>(), events);
        assert!(read.steps().iter().all(|step| step.outcome.as_ref() == Ok(&good.as_ref().unwrap().value)));
    }

    #[test]
    fn a_file_that_is_no_recording_is_told_with_its_line() {
        let error = |text: &str| Recording::read(text.as_bytes()).unwrap_err().to_string();
        let head = r#"{"millpond-recording":1,"component":"x","settings":[]}"#;
        assert!(error("").contains("empty"));
        assert!(error("{}").starts_with("line 1: no head"));
        assert!(error(&head.replace(":1", ":2")).contains("form 2"));
        assert!(error(&format!("{head}\nnonsense\n")).starts_with("line 2: "));
        assert!(error(&format!("{head}\n{{\"event\":{{}}}}\n")).starts_with("line 2: event: "));
    }
}
