//! What is logged says of which connection, job, request, event or call it is: the spans of a running process, as a
//! subscriber sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use support::{Client, chain, http, pool, start, until};
use tokio::net::TcpStream;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span as it was made and filled in.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// An event's words, and the names of the spans around it.
type Said = (String, Vec<&'static str>);

/// All spans, and each event's words with the names of the spans around it, outermost first.
#[derive(Clone, Default)]
struct Watch {
    spans: Arc<Mutex<BTreeMap<u64, Seen>>>,
    order: Arc<Mutex<Vec<Seen>>>,
    events: Arc<Mutex<Vec<Said>>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut seen = Seen { name: attributes.metadata().name(), ..Seen::default() };
        attributes.record(&mut seen);
        self.spans.lock().insert(id.into_u64(), seen);
    }
    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(seen) = self.spans.lock().get_mut(&id.into_u64()) {
            values.record(seen);
        }
    }
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut words = Seen::default();
        event.record(&mut words);
        let around =
            context.event_scope(event).map(|scope| scope.from_root().map(|span| span.name()).collect());
        let message = words.fields.remove("message").unwrap_or_default();
        self.events.lock().push((message, around.unwrap_or_default()));
    }
    fn on_close(&self, id: Id, _: Context<'_, S>) {
        // Numbers of spans are used again.
        if let Some(seen) = self.spans.lock().remove(&id.into_u64()) {
            self.order.lock().push(seen);
        }
    }
}

impl Watch {
    /// Spans of a name, open or closed.
    fn named(&self, name: &str) -> Vec<Seen> {
        let (open, closed) = (self.spans.lock(), self.order.lock());
        closed.iter().chain(open.values()).filter(|seen| seen.name == name).cloned().collect()
    }

    fn has(&self, name: &str, fields: &[(&str, &str)]) -> bool {
        self.named(name).iter().any(|seen| {
            fields.iter().all(|(key, value)| seen.fields.get(key).is_some_and(|found| found == value))
        })
    }

    /// Whether something was said within a span.
    fn said(&self, words: &str, within: &str) -> bool {
        self.events.lock().iter().any(|(said, around)| said == words && around.contains(&within))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_logged_says_of_which_session_job_request_event_and_call_it_is() {
    let watch = Watch::default();
    let subscriber =
        tracing_subscriber::registry().with(watch.clone()).with(LevelFilter::from_level(Level::DEBUG));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let text = format!(
        "[host]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{}[[pool.port]]\nlisten = \"127.0.0.1:0\"\n\
         difficulty = 1e-12\nfixed = true\n",
        folder.path().join("data").display(),
        pool("dev", &chain)
    );
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let stream = TcpStream::connect(pool.addresses()[0]).await.unwrap();
    let peer = stream.local_addr().unwrap().to_string();
    let login = chain.new_address();
    let mut miner = Client::over(stream);
    miner.ready("test/1", &format!("{login}.attic")).await;
    let known = [("connection", "1"), ("peer", &peer), ("worker", "attic"), ("address", &login)];
    assert!(watch.has("session", &known), "{:?}", watch.named("session"));
    assert!(watch.said("logged in", "session"));

    // Nothing is made for each share, however many there are.
    let sessions = watch.named("session").len();
    for nonce in 0..10 {
        miner.share(&format!("{login}.attic"), nonce).await;
    }
    assert!(watch.named("share").is_empty());
    assert_eq!(watch.named("session").len(), sessions);

    // Jobs, by the journal's number and the template's parent.
    let coord = pool.view().coord.to_string();
    let jobs = watch.named("job");
    let job = jobs.iter().find(|job| job.fields.get("coord") == Some(&coord)).unwrap();
    let number: u64 = job.fields["id"].trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    assert!(number >= 1 && number < pool.journal().next_job_id().0, "{job:?}");
    assert!(job.fields["template"].len() == 64 && job.fields["pool"] == "dev", "{job:?}");
    assert!(watch.said("published", "job") && watch.said("published", "chain"));

    // Events of the chain and calls into plugins, with the version that is called.
    let adapter = millpond_bundled::get("bitcoin").unwrap().digest.short();
    assert!(watch.has("chain", &[("event", "reply"), ("adapter", &adapter)]), "{:?}", watch.named("chain"));
    let calls = watch.named("plugin");
    let call = calls.iter().find(|call| call.fields["function"].contains("handle")).unwrap();
    assert_eq!(
        (&call.fields["plugin"], &call.fields["version"]),
        (&"bitcoin".to_owned(), &adapter),
        "{call:?}"
    );

    assert_eq!(http(running.http().unwrap(), "GET /metrics HTTP/1.1\r\n", "").await.0, 200);
    assert_eq!(http(running.http().unwrap(), "GET /nowhere HTTP/1.1\r\n", "").await.0, 404);
    assert!(watch.has("request", &[("method", "GET"), ("path", "/metrics")]), "{:?}", watch.named("request"));
    let ids: Vec<_> = watch.named("request").into_iter().map(|seen| seen.fields["id"].clone()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    assert!(watch.said("answered", "request"));

    drop(miner);
    until("the connection's end", || watch.said("connection closed", "session")).await;
    running.stop().await;
}
