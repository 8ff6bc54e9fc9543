//! What the file says about alerts is what happens: a program and a webhook hear what the process has to say at its start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use support::{chain, pool, start, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Reads a request, head and body, and answers it.
async fn answer(mut stream: TcpStream) -> (String, String) {
    let mut request = String::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request ended early: {request}");
        request.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        if let Some((head, body)) = request.split_once("\r\n\r\n")
            && serde_json::from_str::<Value>(body).is_ok()
        {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            return (head.to_owned(), body.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_program_and_a_webhook_of_the_file_hear_that_payments_wait_after_a_restore() {
    let folder = tempfile::tempdir().unwrap();
    let (script, told) = (folder.path().join("tell"), folder.path().join("told"));
    // Each alert is a line; a later one may be written while the first is read.
    let text = format!("#!/bin/sh\nline=$(cat)\necho \"$line\" >> {}\n", told.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts", listener.local_addr().unwrap());

    let chain = chain().await;
    // As a restore leaves it: payments wait until a person has compared, and somebody has to hear of that.
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let note = serde_json::json!({"from": "/backup", "made": 1, "restored": 2});
    std::fs::write(data.join(millpond_backup::RESTORED), note.to_string()).unwrap();
    let text = format!(
        "[host]\ndata = \"{}\"\n[[alert]]\nexec = \"{}\"\n[[alert]]\nwebhook = \"{url}\"\n{}\
         [[pool.port]]\nlisten = \"127.0.0.1:0\"\n",
        data.display(),
        script.display(),
        pool("dev", &chain),
    );
    let running = start(&folder.path().join("pool.toml"), &text).await;

    let restored = |text: &str| {
        let alert: Value = serde_json::from_str(text).unwrap();
        alert["about"] == "restored" && alert["level"] == "critical"
    };
    // The webhook takes what comes, until it is that.
    loop {
        let (hook, _) =
            timeout(support::PATIENCE, listener.accept()).await.expect("no webhook call").unwrap();
        let (head, body) = timeout(support::PATIENCE, answer(hook)).await.expect("the webhook stays silent");
        assert!(head.starts_with("POST /alerts "), "{head}");
        if restored(&body) {
            break;
        }
    }
    until("the program's word", || {
        let lines = std::fs::read_to_string(&told).unwrap_or_default();
        lines.split_inclusive('\n').filter(|line| line.ends_with('\n')).any(restored)
    })
    .await;
    running.stop().await;
}
