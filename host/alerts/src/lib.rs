//! Alarms: kept, shown, and carried to people by programs and webhooks.
//!
//! Raising an alarm never waits and never fails: a hook that is slow or broken costs its own message and nothing
//! else. In the past a failing notification made a pool pay twice; here nothing that decides about money can see
//! whether one was delivered.

mod hook;

pub use hook::Hook;

use millpond_types::UnixMillis;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Alarms kept for the dashboard.
const KEPT: usize = 200;
/// Alarms waiting for a hook; further ones are only kept and logged.
const WAITING: usize = 64;
/// Before an alert that failed is delivered again; after the last it is given up.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// How urgent something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody should look.
    Warning,
    /// Money or service is at risk now.
    Critical,
}

/// Something that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// When it was raised first.
    pub time: UnixMillis,
    /// When it was raised last.
    pub last: UnixMillis,
    /// How often it was raised.
    pub times: u64,
    /// How urgent it is.
    pub level: Level,
    /// The pool's name; empty for the process.
    pub pool: String,
    /// What it is about, a stable word for machines: "adapter", "node", "journal", "wallet", "disk", "plugin", ...
    pub about: String,
    /// The sentence for people.
    pub text: String,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<VecDeque<Alarm>>,
    repeat_ms: u64,
    hooks: RwLock<Vec<(Level, mpsc::Sender<Arc<Alarm>>)>>,
}

/// The process's alarms. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alarms(Arc<Shared>);

impl Alarms {
    /// Alarms without hooks: kept and logged.
    #[must_use]
    pub fn quiet() -> Self {
        Self(Arc::new(Shared { kept: Mutex::default(), repeat_ms: 600_000, hooks: RwLock::default() }))
    }

    /// Alarms with hooks; must be called on a tokio runtime, whose tasks carry them. The same alarm goes to a hook
    /// again only when `repeat_ms` have passed.
    #[must_use]
    pub fn start(hooks: Vec<(Level, Hook)>, repeat_ms: u64) -> Self {
        let alarms = Self(Arc::new(Shared { kept: Mutex::default(), repeat_ms, hooks: RwLock::default() }));
        alarms.replace_hooks(hooks);
        alarms
    }

    /// Other hooks from now on; must be called on a tokio runtime. What the old ones were given they still carry.
    pub fn replace_hooks(&self, hooks: Vec<(Level, Hook)>) {
        let carried = |(level, hook): (Level, Hook)| {
            let (sender, mut receiver) = mpsc::channel::<Arc<Alarm>>(WAITING);
            tokio::spawn(async move {
                while let Some(alarm) = receiver.recv().await {
                    deliver(&hook, &alarm).await;
                }
            });
            (level, sender)
        };
        *self.0.hooks.write() = hooks.into_iter().map(carried).collect();
    }

    /// Raises an alarm. Returns at once, whatever becomes of the hooks.
    pub fn raise(&self, level: Level, pool: &str, about: &str, text: impl Into<String>) {
        let (text, now) = (text.into(), UnixMillis::now());
        let told = {
            let mut kept = self.0.kept.lock();
            let same = |alarm: &Alarm| alarm.pool == pool && alarm.about == about && alarm.text == text;
            if let Some(known) = kept.iter_mut().find(|alarm| same(alarm)) {
                let quiet = now.since(known.last) < self.0.repeat_ms;
                known.times = known.times.saturating_add(1);
                if quiet {
                    return;
                }
                known.last = now;
                Arc::new(known.clone())
            } else {
                let (pool, about) = (pool.to_owned(), about.to_owned());
                let alarm = Alarm { time: now, last: now, times: 1, level, pool, about, text };
                if kept.len() == KEPT {
                    kept.pop_front();
                }
                kept.push_back(alarm.clone());
                Arc::new(alarm)
            }
        };
        match level {
            Level::Warning => tracing::warn!(pool = %told.pool, about = %told.about, "{}", told.text),
            Level::Critical => tracing::error!(pool = %told.pool, about = %told.about, "{}", told.text),
        }
        for (least, hook) in self.0.hooks.read().iter() {
            if level >= *least && hook.try_send(Arc::clone(&told)).is_err() {
                tracing::warn!("an alert hook is busy: this alert is only logged");
            }
        }
    }

    /// The alarms kept, newest last.
    #[must_use]
    pub fn list(&self) -> Vec<Alarm> {
        self.0.kept.lock().iter().cloned().collect()
    }

    /// Forgets the alarms about something, once the operator has seen to it.
    pub fn clear(&self, pool: &str, about: &str) {
        self.0.kept.lock().retain(|alarm| !(alarm.pool == pool && alarm.about == about));
    }
}

/// Tells a hook, again after a pause when it fails: a webhook may be restarting, a machine be short of processes.
async fn deliver(hook: &Hook, alarm: &Alarm) {
    let mut pauses = PAUSES.iter();
    while let Err(why) = hook.tell(alarm).await {
        let Some(pause) = pauses.next() else {
            tracing::warn!(%hook, %why, about = %alarm.about, text = %alarm.text, "an alert was not delivered");
            return;
        };
        tracing::info!(%hook, %why, "an alert is delivered again in a moment");
        tokio::time::sleep(*pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn the_same_alarm_is_kept_once_and_counted() {
        let alarms = Alarms::quiet();
        for _ in 0..5 {
            alarms.raise(Level::Warning, "btc", "node", "node 0 is behind");
        }
        alarms.raise(Level::Critical, "btc", "journal", "the disk is full");
        let list = alarms.list();
        assert_eq!((list.len(), list[0].times), (2, 5));
        alarms.clear("btc", "node");
        assert_eq!(alarms.list().len(), 1);
    }

    #[test]
    fn alarms_do_not_fill_memory() {
        let alarms = Alarms::quiet();
        for number in 0..1_000 {
            alarms.raise(Level::Warning, "", "plugin", format!("trap {number}"));
        }
        assert_eq!(alarms.list().len(), KEPT);
    }

    #[tokio::test]
    async fn a_program_gets_the_alarm_as_json() {
        let folder = tempfile::tempdir().unwrap();
        let (script, out) = (folder.path().join("hook"), folder.path().join("out"));
        std::fs::write(&script, format!("#!/bin/sh\ncat > {0}.part && mv {0}.part {0}\n", out.display()))
            .unwrap();
        let hook = Hook::exec("/bin/sh", &[script.to_str().unwrap()]);
        let alarms = Alarms::start(vec![(Level::Critical, hook)], 600_000);
        alarms.raise(Level::Warning, "btc", "node", "too mild to be told");
        alarms.raise(Level::Critical, "btc", "wallet", "cannot pay");
        let text = poll(|| std::fs::read_to_string(&out).ok()).await;
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((told["about"].as_str(), told["level"].as_str()), (Some("wallet"), Some("critical")));
    }

    #[tokio::test]
    async fn a_webhook_gets_the_alarm_and_a_dead_one_disturbs_nobody() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/alerts", listener.local_addr().unwrap());
        let dead = Hook::webhook("http://127.0.0.1:1/").unwrap();
        let alarms =
            Alarms::start(vec![(Level::Warning, dead), (Level::Warning, Hook::webhook(&url).unwrap())], 0);
        alarms.raise(Level::Warning, "btc", "disk", "9 days left");
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !String::from_utf8_lossy(&request).contains("9 days left") {
            let mut piece = [0; 1024];
            let read = socket.read(&mut piece).await.unwrap();
            assert!(read > 0, "the request ended early: {}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&piece[..read]);
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert!(request.starts_with(b"POST /alerts "), "{}", String::from_utf8_lossy(&request));
    }

    #[tokio::test]
    async fn what_fails_for_a_moment_is_delivered_again() {
        let folder = tempfile::tempdir().unwrap();
        let (script, out) = (folder.path().join("hook"), folder.path().join("out"));
        let (tried, path) = (folder.path().join("tried").display().to_string(), out.display());
        let text = format!(
            "[ -e {tried} ] || {{ touch {tried}; exit 1; }}\ncat > {path}.part && mv {path}.part {path}\n"
        );
        std::fs::write(&script, text).unwrap();
        let alarms = Alarms::start(
            vec![(Level::Warning, Hook::exec("/bin/sh", &[script.to_str().unwrap()]))],
            600_000,
        );
        alarms.raise(Level::Critical, "btc", "wallet", "cannot pay");
        let text = poll(|| std::fs::read_to_string(&out).ok()).await;
        assert!(text.contains("cannot pay"), "{text}");
    }

    async fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
        for _ in 0..6_000 {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing came within a minute");
    }
}
