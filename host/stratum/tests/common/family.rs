//! A server for a family of coins by its documents.

use super::miner::Client;
use super::parts;
use millpond_algorithms::Algorithms;
use millpond_dialect::{Dialect, DialectSet};
use millpond_jobs::{Job, JobTable, Origin, Seen};
use millpond_recipe::{Recipe, Scratch};
use millpond_stratum::{Chain, Server, StartError, StratumConfig};
use millpond_types::{Amount, Digest, JobId, Target, UnixMillis, WorkShift};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub struct Family {
    pub server: Server,
    pub jobs: Arc<JobTable>,
    pub recipe: Arc<Recipe>,
    pub pool: Arc<super::Pool>,
    pub dialects: DialectSet,
}

/// A server for a recipe with these dialects, whose difficulty 1 is Bitcoin's.
pub async fn start(
    recipe: &str,
    dialects: &[&str],
    extranonce: usize,
    config: StratumConfig,
) -> Result<Family, StartError> {
    start_at(recipe, dialects, (extranonce, None), Target::BITCOIN_DIFF1, config).await
}

/// The same with a difficulty 1 of its own. The first session gets the extranonce that is given, so that what was
/// recorded elsewhere can be said again.
pub async fn start_at(
    recipe: &str,
    dialects: &[&str],
    (extranonce, first): (usize, Option<&[u8]>),
    diff1: Target,
    config: StratumConfig,
) -> Result<Family, StartError> {
    start_by(recipe, &Algorithms::native(), dialects, (extranonce, first), diff1, config).await
}

/// The same with these algorithms.
pub async fn start_by(
    recipe: &str,
    algorithms: &Algorithms,
    dialects: &[&str],
    (extranonce, first): (usize, Option<&[u8]>),
    diff1: Target,
    config: StratumConfig,
) -> Result<Family, StartError> {
    let recipe = Recipe::compile("recipe", recipe, algorithms).unwrap_or_else(|errors| panic!("{errors}"));
    let compile = |text: &&str| Dialect::compile("dialect", text).unwrap_or_else(|errors| panic!("{errors}"));
    let dialects: Vec<_> = dialects.iter().map(compile).collect();
    let dialects = DialectSet::from_documents(&dialects).unwrap();
    let chain = Chain { dialects: dialects.clone(), diff1, extranonce, masks: Default::default() };
    let (jobs, pool) = (Arc::new(JobTable::default()), Arc::new(super::Pool::default()));
    let server = Server::start_at(config, chain, parts(&jobs, &Arc::new(Seen::new()), &pool), first).await?;
    Ok(Family { server, jobs, recipe, pool, dialects })
}

impl Family {
    /// A job whose blocks no share can solve.
    pub fn publish(&self, id: u64, consts: &[Vec<u8>]) -> Arc<Job> {
        self.publish_for(id, consts, Target::from_be_bytes([0; 32]))
    }

    /// A job of a network with this target.
    pub fn publish_for(&self, id: u64, consts: &[Vec<u8>], network_target: Target) -> Arc<Job> {
        let now = UnixMillis::now();
        let stage = self.recipe.job(consts).unwrap();
        let parent = stage.register("parent").map_or_else(|| vec![1; 32], <[u8]>::to_vec);
        let job = Job {
            id: JobId(id),
            recipe: 0,
            stage,
            network_target,
            coord: 7,
            parent: parent.into(),
            reward: Amount(0),
            subsidy: None,
            work_shift: WorkShift(0),
            outputs_revision: 0,
            aux_revision: 0,
            origin: Origin { adapter: Digest::default(), generation: 1 },
            private: bytes::Bytes::new(),
            body: None,
            published_at: now,
            expires_at: UnixMillis(now.0 + 600_000),
            suspended: AtomicBool::new(false),
        };
        self.jobs.publish(job).unwrap()
    }

    /// The first number whose share meets `difficulty`; `values` makes a share's fields of a number.
    pub fn find(
        &self,
        job: &Job,
        dialect: &str,
        difficulty: f64,
        values: impl Fn(u64) -> Vec<Vec<u8>>,
    ) -> u64 {
        let diff1 = self.dialects.fixed(dialect).unwrap().default_dialect().diff1(Target::BITCOIN_DIFF1);
        let target = Target::from_difficulty(difficulty, diff1).unwrap();
        let stage = job.stage.session(&[] as &[Vec<u8>]).unwrap();
        let mut scratch = Scratch::default();
        (0..1_000_000)
            .find(|number| target.is_met_by(&stage.judge(&values(*number), &mut scratch).unwrap().pow))
            .unwrap()
    }
}

/// The messages of the pool up to the first job, and that.
pub async fn up_to_a_job(client: &mut Client) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let message = methods(client, 1).await.remove(0);
        let job = message["method"] == "mining.notify";
        told.push(message);
        if job {
            return told;
        }
    }
}

/// The next messages of the pool.
pub async fn methods(client: &mut Client, count: usize) -> Vec<Value> {
    while client.pushed.len() < count {
        let message = client.message().await;
        client.pushed.push_back(message);
    }
    client.pushed.drain(..count).collect()
}
