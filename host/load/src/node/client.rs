//! A mock node of another process makes the blocks.

use crate::fleet::{Blocks, LoadError};
use crate::mark;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// No answer to these calls is longer.
const LONGEST: usize = 1 << 20;

/// The mock node at an address.
pub struct OtherBlocks {
    reader: BufReader<TcpStream>,
    hashes: HashMap<u64, String>,
}

impl OtherBlocks {
    /// Connects to `http://host:port`.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn at(url: &str) -> Result<Self, LoadError> {
        let address = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream), hashes: HashMap::new() })
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, LoadError> {
        let body = json!({"id": 1, "method": method, "params": params}).to_string();
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.reader.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(LoadError::Node("it hung up".to_owned()));
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length.min(LONGEST)];
        self.reader.read_exact(&mut body)?;
        let mut answer: Value = serde_json::from_slice(&body)
            .map_err(|error| LoadError::Node(format!("it says no JSON: {error}")))?;
        match answer.get_mut("result").map(Value::take) {
            Some(result) if answer.get("error").is_none_or(Value::is_null) => Ok(result),
            _ => Err(LoadError::Node(format!("{method}: {answer}; is it a `millpond load node`?"))),
        }
    }
}

impl Blocks for OtherBlocks {
    fn make(&mut self) -> Result<(u64, Instant), LoadError> {
        let result = self.call("millpond_newblock", &json!([]))?;
        let hash = result.as_str().unwrap_or_default().to_owned();
        // It is handed out a moment before this is known.
        let (mark, now) = (mark(&hash), Instant::now());
        self.hashes.insert(mark, hash);
        Ok((mark, now))
    }

    fn handed_out(&mut self, mark: u64) -> Result<Option<Instant>, LoadError> {
        let Some(hash) = self.hashes.get(&mark).cloned() else { return Ok(None) };
        let ago = self.call("millpond_handedout", &json!([hash]))?;
        Ok(ago.as_u64().and_then(|nanos| Instant::now().checked_sub(Duration::from_nanos(nanos))))
    }
}
