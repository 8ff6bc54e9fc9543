//! HTTP as far as JSON-RPC needs it: one thread a connection, and each answer in one write.

use super::Shared;
use super::rpc;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The largest request: Core's MAX_SIZE, 32 MiB.
const MAX_BODY: usize = 32 << 20;
/// No header line is longer.
const MAX_LINE: u64 = 16 << 10;

/// Serves until the node is dropped.
pub(super) fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // Where no thread can be had, the caller sees that it is hung up on.
        let _ = std::thread::Builder::new().name("mock-node-rpc".to_owned()).spawn(move || {
            // Whoever hangs up in the middle is not waited for.
            let _ = converse(&stream, &shared);
        });
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader)? {
        let answer = rpc::answer(shared, &body);
        let status = if answer.failed { "500 Internal Server Error" } else { "200 OK" };
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.body.len() + 1
        );
        bytes.reserve(answer.body.len() + 1);
        bytes.push_str(&answer.body);
        bytes.push('\n');
        let mut stream = stream;
        stream.write_all(bytes.as_bytes())?;
        if let Some(parent) = answer.template_on {
            shared.handed_out(parent);
        }
    }
    Ok(())
}

/// The body of the next request; `None` at the end.
fn request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut first = true;
    loop {
        let mut line = String::new();
        if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        if text.is_empty() {
            if first {
                continue;
            }
            break;
        }
        first = false;
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        }
    }
    if length > MAX_BODY {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}
