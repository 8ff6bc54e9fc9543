//! A CPU miner: the other end of Stratum V1, for demos, tests and trying a pool out.
//!
//! It speaks Stratum as the Bitcoin family's miners do (a coinbase in two parts, a merkle branch, a header of 80
//! bytes) and hashes with any native algorithm of 32 bytes by name: sha256d, scrypt. It earns nothing on a real
//! network. It shares no code with the server but the hash functions.
//!
//! ```text
//! let miner = Miner::start(options);
//! miner.progress().accepted();       // any time
//! let summary = miner.stop().await;  // waits for the answers to what was sent
//! ```

mod connection;
mod hashing;
mod options;
mod work;

pub use options::{MineError, Options, Progress, Summary};

use connection::Connection;
use hashing::Hashing;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest pause before another attempt to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A running miner. Dropping it stops it at the next share; [`Miner::stop`] waits for the answers.
#[derive(Debug)]
pub struct Miner {
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Summary, MineError>>,
}

impl Miner {
    /// Starts to mine on the present tokio runtime, with threads of its own for hashing.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(mine(options, Arc::clone(&progress), stopped));
        Self { progress, stop, task }
    }

    /// What was done so far.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Stops and says what was done.
    ///
    /// # Errors
    /// What ended the miner before.
    pub async fn stop(self) -> Result<Summary, MineError> {
        self.stop.send_replace(true);
        self.task.await.unwrap_or(Err(MineError::Ended))
    }
}

/// Mines until `stop` is set, its sender is dropped, or `options.shares` shares were accepted. A lost connection is
/// taken up again, with the session of before.
///
/// # Errors
/// When the options are wrong, the pool cannot be reached at first, or it refuses the login.
pub async fn mine(
    options: Options,
    progress: Arc<Progress>,
    mut stop: watch::Receiver<bool>,
) -> Result<Summary, MineError> {
    let started = Instant::now();
    let (hashing, mut found) = Hashing::start(&options, Arc::clone(&progress))?;
    let mut session = None;
    let mut pause = Duration::from_millis(250);
    let mut reached = false;
    loop {
        let ended = match Connection::open(&options, &session).await {
            Ok(mut connection) => {
                reached = true;
                pause = Duration::from_millis(250);
                let ended = connection.mine(&options, &hashing, &mut found, &progress, &mut stop).await;
                session = connection.session;
                ended
            }
            Err(error) if !reached => Err(error),
            Err(error) => Ok(connection::End::Lost(error.to_string())),
        };
        hashing.rest();
        match ended? {
            connection::End::Done => break,
            connection::End::Lost(why) => {
                tracing::warn!(%why, again_in_ms = pause.as_millis(), "the connection to the pool is lost");
            }
        }
        tokio::select! {
            () = connection::stopped(&mut stop) => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    drop(found);
    hashing.stop().await;
    Ok(progress.summary(started.elapsed()))
}
