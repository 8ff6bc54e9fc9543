//! A trace of system calls as `strace -f -y -xx` writes it: which call began and returned before which.

use serde_json::Value;
use std::collections::HashMap;

/// A call.
#[derive(Debug)]
pub struct Call {
    name: String,
    /// The path of the file or the name of the socket, and the number it is open under.
    file: String,
    /// What it writes.
    data: Vec<u8>,
    /// The trace's lines where it began and where it returned. Lines stand in the order of events.
    pub begin: usize,
    pub end: usize,
    returned: Option<i64>,
}

/// All calls, in the order in which they began.
#[derive(Debug, Default)]
pub struct Trace(Vec<Call>);

impl Trace {
    pub fn parse(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        let mut unfinished: HashMap<&str, usize> = HashMap::new();
        for (line, text) in text.lines().enumerate() {
            let Some((process, what)) = text.split_once(char::is_whitespace) else { continue };
            let what = what.trim_start();
            if what.starts_with("<... ") {
                if let Some(call) = unfinished.remove(process) {
                    (calls[call].end, calls[call].returned) = (line, returned(what));
                }
                continue;
            }
            let Some((name, arguments)) = what.split_once('(') else { continue };
            let file = arguments.split_once('>').map_or("", |(file, _)| file);
            let is_whole = !what.ends_with("<unfinished ...>");
            if !is_whole {
                unfinished.insert(process, calls.len());
            }
            let (end, returned) = if is_whole { (line, returned(what)) } else { (usize::MAX, None) };
            let data = data(arguments);
            let (number, path) = file.split_once('<').unwrap_or((file, ""));
            // Paths are escaped as all strings are.
            let file = format!("{number}<{}", String::from_utf8_lossy(&bytes(path)));
            calls.push(Call { name: name.to_owned(), file, data, begin: line, end, returned });
        }
        Self(calls)
    }

    /// The write of a share's record into the journal: the one whose bytes hold its hash.
    pub fn write_of(&self, share: &[u8; 32]) -> Option<&Call> {
        let writes = |call: &Call| call.name.contains("write") && call.file.contains("/journal/");
        let holds = |call: &Call| call.data.windows(share.len()).any(|part| part == share);
        self.0.iter().find(|call| writes(call) && holds(call))
    }

    /// The first good sync of the same file that began after a write had returned.
    pub fn sync_after(&self, write: &Call) -> Option<&Call> {
        self.0.iter().find(|call| {
            call.name == "fdatasync"
                && call.file == write.file
                && call.begin > write.end
                && call.returned == Some(0)
        })
    }

    /// The sending of the reply `true` to a request of this number.
    pub fn reply_to(&self, id: u64) -> Option<&Call> {
        self.0.iter().find(|call| {
            let is_reply = |line: &[u8]| {
                let line: Value = serde_json::from_slice(line).unwrap_or_default();
                line["id"].as_u64() == Some(id) && line["result"] == true && line["method"].is_null()
            };
            call.file.contains("socket:") && call.data.split(|byte| *byte == b'\n').any(is_reply)
        })
    }
}

/// What stands behind the last `=`.
fn returned(text: &str) -> Option<i64> {
    text.rsplit_once("= ")?.1.split_whitespace().next()?.parse().ok()
}

/// All bytes between quotes, which are written as `\x00`.
fn data(arguments: &str) -> Vec<u8> {
    arguments.split('"').skip(1).step_by(2).flat_map(bytes).collect()
}

fn bytes(escaped: &str) -> Vec<u8> {
    let digits = escaped.split("\\x").skip(1);
    digits.filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}
