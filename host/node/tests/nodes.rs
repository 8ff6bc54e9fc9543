//! Transports against nodes: the development chain, and servers written here that behave badly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use millpond_devchain::{DevChain, Fault, Options as Chain};
use millpond_node::{
    Address, Auth, CallError, Endpoint, Events, JsonRpc, Limits, NodeError, NodeEvent, NodeSpec, Nodes,
    Options, Secret, Transport, TransportKind,
};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

fn rpc() -> Transport {
    let methods = ["getblocktemplate", "submitblock", "getblockcount"].map(str::to_owned).to_vec();
    Transport { name: "rpc".into(), kind: TransportKind::JsonRpcHttp, methods }
}

fn zmq() -> Transport {
    Transport { name: "zmq".into(), kind: TransportKind::ZmqSub, methods: vec!["hashblock".into()] }
}

fn quick() -> Options {
    Options {
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
        ..Options::default()
    }
}

fn endpoint(chain: &DevChain) -> Endpoint {
    let auth = Auth::Basic { user: chain.user().into(), password: Secret::new(chain.password()) };
    Endpoint { url: chain.url(), auth }
}

fn spec(chain: &DevChain) -> NodeSpec {
    let mut addresses = vec![("rpc".to_owned(), Address::Http(endpoint(chain)))];
    addresses.extend(chain.zmq().map(|url| ("zmq".to_owned(), Address::Zmq(url))));
    NodeSpec { name: "devchain".into(), addresses }
}

fn plain(port: u16) -> NodeSpec {
    let endpoint = Endpoint { url: format!("http://127.0.0.1:{port}"), auth: Auth::None };
    NodeSpec { name: format!("node at {port}"), addresses: vec![("rpc".into(), Address::Http(endpoint))] }
}

async fn next(events: &mut Events) -> NodeEvent {
    timeout(DEADLINE, events.next()).await.expect("news in time")
}

#[tokio::test]
async fn only_granted_methods_of_known_links_are_called() {
    let chain = DevChain::start(Chain::default()).await.unwrap();
    let (nodes, mut events) = Nodes::start(vec![rpc(), zmq()], vec![spec(&chain)], quick()).unwrap();
    assert_eq!(next(&mut events).await, NodeEvent::Link { link: 0, up: true });
    assert_eq!(&nodes.call(0, 0, "getblockcount", b"", DEADLINE).await.unwrap()[..], b"0");
    for (link, transport, method) in
        [(0, 0, "sendmany"), (1, 0, "getblockcount"), (0, 1, "hashblock"), (0, 2, "x")]
    {
        let refused = nodes.call(link, transport, method, b"", DEADLINE).await;
        assert!(matches!(refused, Err(CallError::Denied(_))), "{refused:?}");
    }
    let error = nodes.call(0, 0, "getblocktemplate", b"[]", DEADLINE).await.unwrap_err();
    assert_eq!(error.code(), -8);
}

#[tokio::test]
async fn a_longpoll_waits_beside_other_calls() {
    let chain = DevChain::start(Chain::default()).await.unwrap();
    let (nodes, _events) = Nodes::start(vec![rpc()], vec![spec(&chain)], quick()).unwrap();
    let ask = json!([{ "rules": ["segwit"] }]).to_string();
    let first = nodes.call(0, 0, "getblocktemplate", ask.as_bytes(), DEADLINE).await.unwrap();
    let first: serde_json::Value = serde_json::from_slice(&first).unwrap();
    let longpoll = json!([{ "rules": ["segwit"], "longpollid": first["longpollid"] }]).to_string();
    let waiting = tokio::spawn({
        let nodes = nodes.clone();
        async move { nodes.call(0, 0, "getblocktemplate", longpoll.as_bytes(), DEADLINE).await }
    });
    for _ in 0..5 {
        nodes.call(0, 0, "getblockcount", b"", DEADLINE).await.unwrap();
    }
    assert!(!waiting.is_finished());
    chain.generate(1).unwrap();
    let second: serde_json::Value = serde_json::from_slice(&waiting.await.unwrap().unwrap()).unwrap();
    assert_eq!(second["height"], json!(2));
}

#[tokio::test]
async fn block_hashes_are_pushed_over_zmq() {
    let chain = DevChain::start(Chain { zmq: true, ..Chain::default() }).await.unwrap();
    let (_nodes, mut events) = Nodes::start(vec![rpc(), zmq()], vec![spec(&chain)], quick()).unwrap();
    // A subscription takes effect some time after the connection: blocks are made until one is told.
    let mut made = Vec::new();
    let (topic, data) = loop {
        made.extend(chain.generate(1).unwrap());
        match timeout(Duration::from_millis(50), events.next()).await {
            Ok(NodeEvent::Push { link: 0, transport: 1, topic, data }) => break (topic, data),
            Ok(NodeEvent::Link { .. }) | Err(_) => assert!(made.len() < 2_000, "no push came"),
            Ok(other) => panic!("unexpected {other:?}"),
        }
    };
    assert_eq!(topic, "hashblock");
    let told: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(made.contains(&told), "{told} is none of our blocks");
}

#[tokio::test]
async fn a_node_that_comes_back_is_told_and_another_one_is_active_meanwhile() {
    let chain = DevChain::start(Chain::default()).await.unwrap();
    // A port that nobody else gets, and that nobody listens at yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (nodes, mut events) = Nodes::start(vec![rpc()], vec![plain(port), spec(&chain)], quick()).unwrap();
    let mut first = [next(&mut events).await, next(&mut events).await];
    first.sort_by_key(|event| *event == NodeEvent::Link { link: 1, up: true });
    assert_eq!(first, [NodeEvent::Link { link: 0, up: false }, NodeEvent::Link { link: 1, up: true }]);
    assert_eq!((nodes.active(), nodes.is_up(0)), (Some(1), false));
    let error = nodes.call(0, 0, "getblockcount", b"", DEADLINE).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");

    let listener = socket.listen(16).unwrap();
    assert_eq!(next(&mut events).await, NodeEvent::Link { link: 0, up: true });
    assert_eq!(nodes.active(), Some(0));
    nodes.unfit(0, "behind");
    assert_eq!(nodes.active(), Some(1));

    // It goes away with a call in flight: nobody knows what became of it.
    let call = tokio::spawn({
        let nodes = nodes.clone();
        async move { nodes.call(0, 0, "getblockcount", b"", DEADLINE).await }
    });
    loop {
        // Connections of the watcher send nothing and close; the call sends a request.
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 16];
        if stream.read(&mut buffer).await.unwrap_or(0) > 0 {
            break;
        }
    }
    drop(listener);
    let error = call.await.unwrap().unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    assert_eq!(next(&mut events).await, NodeEvent::Link { link: 0, up: false });
}

/// A server that answers each request with the given bytes and closes.
async fn answering(response: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let response = response.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                    let _ = stream.write_all(&response).await;
                }
            });
        }
    });
    port
}

fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn call(response: Vec<u8>, limits: Limits, wait: Duration) -> Result<Bytes, CallError> {
    let port = answering(response).await;
    let endpoint = Endpoint { url: format!("http://127.0.0.1:{port}"), auth: Auth::None };
    JsonRpc::new(endpoint, limits).unwrap().call("x", b"[]", wait).await
}

#[tokio::test]
async fn bad_answers_are_told_apart() {
    let limits = Limits { body: 1000, ..Limits::default() };
    let good = call(response("200 OK", r#"{"result":[1, 2],"error":null,"id":1}"#), limits, DEADLINE).await;
    assert_eq!(&good.unwrap()[..], b"[1, 2]");
    let failed = call(
        response("500 Oh", r#"{"result":null,"error":{"code":-5,"message":"no"},"id":1}"#),
        limits,
        DEADLINE,
    );
    assert_eq!(failed.await, Err(CallError::Rpc { code: -5, message: "no".into() }));
    let html = call(response("502 Bad Gateway", "<html>"), limits, DEADLINE).await.unwrap_err();
    assert!(matches!(html, CallError::Refused { status: 502, .. }) && html.outcome_unknown(), "{html:?}");
    let large = response("200 OK", &format!(r#"{{"result":"{}","error":null,"id":1}}"#, "a".repeat(2000)));
    assert!(matches!(call(large, limits, DEADLINE).await, Err(CallError::TooLarge { limit: 1000, .. })));
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".iter().copied();
    let endless = endless
        .chain(b"100\r\n".iter().copied().chain([b'a'; 256]).chain(*b"\r\n").collect::<Vec<_>>().repeat(9));
    assert!(matches!(call(endless.collect(), limits, DEADLINE).await, Err(CallError::TooLarge { .. })));
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{".to_vec();
    assert!(matches!(call(cut, limits, DEADLINE).await, Err(CallError::Broken { .. })));
    let garbage = b"\x16\x03\x01 not http at all\r\n\r\n".to_vec();
    assert!(matches!(call(garbage, limits, DEADLINE).await, Err(CallError::Broken { .. })));
}

#[tokio::test]
async fn a_node_that_never_answers_costs_its_deadline_and_counts_as_down_after_three_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = Options { longest_pause: Duration::from_secs(60), ..quick() };
    let (nodes, mut events) = Nodes::start(vec![rpc()], vec![plain(port)], options).unwrap();
    assert_eq!(next(&mut events).await, NodeEvent::Link { link: 0, up: true });
    let wait = Duration::from_millis(20);
    for _ in 0..3 {
        let outcome = nodes.call(0, 0, "getblockcount", b"", wait).await;
        assert!(matches!(outcome, Err(CallError::Timeout { ms: 20, .. })), "{outcome:?}");
    }
    assert_eq!(next(&mut events).await, NodeEvent::Link { link: 0, up: false });
    drop(listener);
}

#[tokio::test]
async fn a_call_waits_for_its_place_within_its_time_and_no_call_holds_up_a_submission() {
    let chain = DevChain::start(Chain::default()).await.unwrap();
    let options = Options { calls: 1, ..quick() };
    let (nodes, _events) = Nodes::start(vec![rpc()], vec![spec(&chain)], options).unwrap();
    chain.faults().fail("getblockcount", Fault::Silence);
    let waiting = async {
        // It gets no place: the first call, which is polled first, holds it.
        let late = nodes.call(0, 0, "getblockcount", b"", Duration::from_millis(50)).await;
        assert!(matches!(late, Err(CallError::Timeout { ms: 50, .. })), "{late:?}");
        // What it submits is no block, and the node's own words on that are the answer.
        let submitted = nodes.submit(0, 0, "submitblock", br#"["00"]"#, DEADLINE).await.unwrap();
        assert_eq!(&submitted[..], br#"{"code":-22,"message":"Block decode failed"}"#);
    };
    let held = nodes.call(0, 0, "getblockcount", b"", DEADLINE);
    tokio::pin!(held);
    tokio::select! {
        biased;
        held = &mut held => panic!("nobody answers, but {held:?}"),
        () = waiting => {}
    }
    // One that comes when the place is taken has it next.
    let (next, ()) = tokio::join!(nodes.call(0, 0, "getblockcount", b"", DEADLINE), async {
        chain.faults().mend();
        assert_eq!(&held.await.unwrap()[..], b"0");
    });
    assert_eq!(&next.unwrap()[..], b"0");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_the_adapter_is_refused_before_anything_starts() {
    let start = |transports, spec| Nodes::start(transports, vec![spec], quick()).map(|_| ()).unwrap_err();
    let none = NodeSpec { name: "n".into(), addresses: vec![] };
    assert!(matches!(start(vec![rpc()], none.clone()), NodeError::Missing { .. }));
    let crossed =
        NodeSpec { name: "n".into(), addresses: vec![("rpc".into(), Address::Zmq("tcp://a:1".into()))] };
    assert!(matches!(start(vec![rpc()], crossed), NodeError::WrongKind { .. }));
    let odd = NodeSpec { name: "n".into(), addresses: vec![("zmq".into(), Address::Zmq("ipc:///x".into()))] };
    assert!(matches!(start(vec![zmq()], odd), NodeError::Address { .. }));
    let grpc = Transport { name: "g".into(), kind: TransportKind::GrpcStream, methods: vec![] };
    assert!(matches!(start(vec![grpc], none.clone()), NodeError::Unsupported { .. }));
    // A subscription may be left out.
    Nodes::start(vec![zmq()], vec![none], quick()).unwrap();
}
