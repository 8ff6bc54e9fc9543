//! Honest miners that mine while a server is attacked, each from an address of its own: all of 127.0.0.0/8 is this machine.

use super::miner::{Client, Notify, is_true};
use super::{BLOCK, EASY, Harness, PATIENCE, Template, start_with};
use millpond_stratum::StratumConfig;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Where attacks come from, and one of the honest miners too.
pub const ATTACKER: [u8; 4] = [127, 0, 0, 66];
const HONEST: [[u8; 4]; 4] = [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4], ATTACKER];
/// An honest miner rests so long between two shares: his lines are those of a strong machine, and no flood.
const REST: Duration = Duration::from_millis(20);

/// A connection that comes from this address.
pub async fn connect_from(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(from), 0))?;
    socket.connect(to).await
}

struct Honest {
    accepted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    mining: JoinHandle<()>,
}

impl Honest {
    async fn start(address: SocketAddr, from: [u8; 4], login: String) -> Self {
        let mut client = Client::over(connect_from(from, address).await.unwrap());
        client.subscribe(json!(["honest/1"])).await;
        assert!(is_true(&client.call("mining.authorize", json!([login, "x"])).await));
        let (accepted, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ending) = (Arc::clone(&accepted), Arc::clone(&stop));
        let mining = tokio::spawn(async move {
            let mut job = client.notify().await;
            for en2 in 0.. {
                if ending.load(Ordering::SeqCst) {
                    break;
                }
                let share = client.find(&job, en2, EASY, BLOCK);
                let reply = client.submit(&login, &share).await;
                assert!(is_true(&reply), "an honest share of {login} was answered {reply}");
                count.fetch_add(1, Ordering::SeqCst);
                let newer = client.pushed.drain(..).rfind(|push| push["method"] == "mining.notify");
                job = newer.map_or(job, |push| Notify::parse(&push));
                sleep(REST).await;
            }
            assert_eq!(client.call("mining.ping", json!([])).await["result"], "pong");
        });
        Self { accepted, stop, mining }
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    async fn until(&self, more: u64) {
        let enough = async {
            while self.accepted() < more && !self.mining.is_finished() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, enough).await.expect("an honest miner no longer gets on");
        assert!(!self.mining.is_finished(), "an honest miner was stopped");
    }
}

/// A server with honest miners on it.
pub struct Siege {
    pub pool: Harness,
    honest: Vec<Honest>,
    tasks: usize,
}

impl Siege {
    /// Honest miners from three addresses and from the attacker's, all of them at work.
    pub async fn begin(config: StratumConfig) -> Self {
        let pool = start_with(config).await;
        pool.publish(&Template::default());
        let mut siege = Self { pool, honest: Vec::new(), tasks: 0 };
        for (n, from) in HONEST.into_iter().enumerate() {
            siege.another(from, &format!("honest{n}")).await;
        }
        siege.tasks = alive();
        siege
    }

    /// One more honest miner, who comes while the attack is on.
    pub async fn another(&mut self, from: [u8; 4], login: &str) {
        let honest = Honest::start(self.pool.address(), from, login.to_owned()).await;
        honest.until(3).await;
        // His mining and what the server does for him.
        self.tasks = alive().max(self.tasks);
        self.honest.push(honest);
    }

    /// Honest miners that are connected.
    pub fn miners(&self) -> usize {
        self.honest.len()
    }

    /// The attackers are gone, with all that the server held for them; every honest miner was and is at work, on the
    /// connection that he began with, and every share that he was told counts has been recorded once. `others` is what
    /// attackers were credited with.
    pub async fn end(self, others: u64) {
        for honest in &self.honest {
            honest.until(honest.accepted() + 5).await;
        }
        let connected = self.honest.len();
        self.pool.until("the attackers are gone", |pool| pool.handle.connections() == connected).await;
        self.pool.until("their tasks are gone", |_| alive() <= self.tasks).await;
        for honest in &self.honest {
            honest.stop.store(true, Ordering::SeqCst);
        }
        let mut accepted = others;
        for honest in self.honest {
            timeout(PATIENCE, honest.mining)
                .await
                .unwrap()
                .expect("an honest miner lost a share or his connection");
            accepted += honest.accepted.load(Ordering::SeqCst);
        }
        assert_eq!(self.pool.pool.credited() as u64, accepted, "shares were lost or doubled");
    }
}

fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
