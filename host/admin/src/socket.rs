//! The local door: a Unix socket that only the process's own user can open, one JSON line each way.

use crate::{Answer, Command, Desk, Scope};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// The longest line.
const LINE: u64 = 1 << 20;
/// Callers at once.
const CALLERS: usize = 16;
/// A caller has this long to say what he wants.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    ask: Command,
}

/// The socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is nobody behind it.
    #[error("no millpond runs on {0} ({1}); start `millpond run` or name its data folder")]
    Nobody(PathBuf, io::Error),
    /// It cannot be made.
    #[error("the admin socket {0} cannot be made: {1}")]
    Bind(PathBuf, io::Error),
    /// The talk broke off.
    #[error("the running millpond broke off: {0}")]
    Broken(String),
}

/// A socket that listens until it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
    callers: Arc<Semaphore>,
}

/// Callers of a closed socket that have not got their answer yet.
#[derive(Debug)]
pub struct Callers(Arc<Semaphore>);

impl Callers {
    /// Waits until each has his answer, or until nobody should wait any longer.
    pub async fn answered(self, patience: Duration) {
        let all = u32::try_from(CALLERS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(patience, self.0.acquire_many(all)).await;
    }
}

impl AdminSocket {
    /// Listens no more; callers who are there are answered.
    #[must_use]
    pub fn close(self) -> Callers {
        Callers(Arc::clone(&self.callers))
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.task.abort();
        // A socket left behind does no harm: the next process replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens. The data folder is locked by its process, so a socket that is there already is a dead one's.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(path: &Path, desk: Arc<Desk>) -> Result<AdminSocket, SocketError> {
    let wrong = |why| SocketError::Bind(path.to_owned(), why);
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(wrong(why)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(wrong)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    let callers = Arc::new(Semaphore::new(CALLERS));
    let room = Arc::clone(&callers);
    let task = tokio::spawn(async move {
        loop {
            let Ok(caller) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let desk = Arc::clone(&desk);
                    tokio::spawn(async move {
                        if let Err(why) = serve(stream, &desk).await {
                            tracing::debug!(%why, "an admin caller broke off");
                        }
                        drop(caller);
                    });
                }
                Err(why) => {
                    tracing::warn!(%why, "the admin socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(AdminSocket { path: path.to_owned(), task, callers })
}

async fn serve(stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut text = String::new();
    let mut reader = BufReader::new(read.take(LINE));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut text))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    let answer = match serde_json::from_str::<Line>(&text) {
        Ok(line) => {
            // Who can open the socket can read the journal and stop the process: the scope is the widest.
            let actor = format!("local:{}", line.actor.chars().take(64).collect::<String>());
            desk.take(&actor, Scope::Local, line.ask, line.code.as_deref()).await
        }
        Err(why) => Answer::Refused(crate::Refused::Failed(format!("the command is not understood: {why}"))),
    };
    let mut bytes = serde_json::to_vec(&answer).unwrap_or_default();
    bytes.push(b'\n');
    write.write_all(&bytes).await
}

/// Asks the process behind a socket.
///
/// # Errors
/// When nobody is there or the talk breaks off; a refusal is an [`Answer`].
pub async fn ask(
    path: &Path,
    actor: &str,
    command: Command,
    code: Option<String>,
) -> Result<Answer, SocketError> {
    let stream = UnixStream::connect(path).await.map_err(|why| SocketError::Nobody(path.to_owned(), why))?;
    let broken = |why: &dyn std::fmt::Display| SocketError::Broken(why.to_string());
    let (read, mut write) = stream.into_split();
    let line = Line { actor: actor.to_owned(), code, ask: command };
    let mut bytes = serde_json::to_vec(&line).map_err(|why| broken(&why))?;
    bytes.push(b'\n');
    write.write_all(&bytes).await.map_err(|why| broken(&why))?;
    let mut text = String::new();
    BufReader::new(read).read_line(&mut text).await.map_err(|why| broken(&why))?;
    serde_json::from_str(&text).map_err(|why| broken(&why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Handling;
    use crate::{Handler, Refused};
    use parking_lot::Mutex;
    use serde_json::json;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<(String, Command)>>);

    impl Handler for Recorder {
        fn handle<'a>(&'a self, actor: &'a str, command: Command) -> Handling<'a> {
            self.0.lock().push((actor.to_owned(), command));
            Box::pin(async { Ok(json!({"ok": true})) })
        }
    }

    #[tokio::test]
    async fn money_moves_only_on_the_second_asking() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let recorder = Arc::new(Recorder::default());
        let socket = listen(&path, Desk::new(Arc::clone(&recorder) as Arc<dyn Handler>)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let run = Command::PaymentsRun { pool: "btc".into() };
        let Answer::Confirm { code, .. } = ask(&path, "op", run.clone(), None).await.unwrap() else {
            panic!("paid at once")
        };
        assert!(recorder.0.lock().is_empty());
        let wrong = ask(&path, "op", run.clone(), Some("000000".into())).await.unwrap();
        assert_eq!(wrong, Answer::Refused(Refused::Code));
        let done = ask(&path, "op", run.clone(), Some(code)).await.unwrap();
        assert_eq!(done, Answer::Done(json!({"ok": true})));
        assert_eq!(*recorder.0.lock(), [("local:op".to_owned(), run)]);
        drop(socket);
        assert!(matches!(ask(&path, "op", Command::Status {}, None).await, Err(SocketError::Nobody(..))));
    }

    /// A pool where what the adapter says is money.
    struct Trusting;

    impl Handler for Trusting {
        fn handle<'a>(&'a self, _: &'a str, _: Command) -> Handling<'a> {
            Box::pin(async { Ok(json!({"ok": true})) })
        }

        fn scope(&self, command: &Command) -> Scope {
            if matches!(command, Command::PluginSwap { .. }) { Scope::Money } else { Scope::Read }
        }
    }

    #[tokio::test]
    async fn a_handler_can_ask_for_a_wider_scope_and_for_no_narrower_one() {
        let desk = Desk::new(Arc::new(Trusting));
        let role = crate::Role::Adapter;
        let swap = Command::PluginSwap { pool: "x".into(), role, plugin: "y".into(), reason: String::new() };
        let answer = desk.take("token:op", Scope::Operate, swap.clone(), None).await;
        assert_eq!(answer, Answer::Refused(Refused::Scope { needs: Scope::Money }));
        let Answer::Confirm { code, .. } = desk.take("token:m", Scope::Money, swap.clone(), None).await
        else {
            panic!("swapped at once")
        };
        let done = desk.take("token:m", Scope::Money, swap, Some(&code)).await;
        assert_eq!(done, Answer::Done(json!({"ok": true})));
        let answer = desk.take("token:r", Scope::Read, Command::Backup {}, None).await;
        assert_eq!(answer, Answer::Refused(Refused::Scope { needs: Scope::Operate }));
    }

    #[tokio::test]
    async fn a_narrow_scope_is_refused_and_nonsense_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let recorder = Arc::new(Recorder::default());
        let desk = Desk::new(Arc::clone(&recorder) as Arc<dyn Handler>);
        let answer = desk.take("token:x", Scope::Read, Command::Backup {}, None).await;
        assert_eq!(answer, Answer::Refused(Refused::Scope { needs: Scope::Operate }));
        let _socket = listen(&path, desk).unwrap();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"what\": 1}\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("not understood"), "{text}");
        assert!(recorder.0.lock().is_empty());
    }
}
