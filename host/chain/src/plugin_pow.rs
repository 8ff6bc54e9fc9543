//! Algorithms that the host lacks and the adapter exports: they run in batches on the validator's threads, in instances that
//! are kept ([`ChainAdapter::pow`]). The description's `extra` names them: key `algorithm`, value the name.

use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Cost, Key};
use millpond_contracts::chain::ChainAdapter;
use std::sync::Arc;

/// Most algorithms of an adapter.
const EXPORTED: usize = 8;

/// The native algorithms and those that the adapter exports; a native name stays native.
pub(crate) fn with_exported(
    native: &Algorithms,
    adapter: &Arc<dyn ChainAdapter>,
) -> Result<Algorithms, String> {
    let mut all = native.clone();
    if !adapter.optional().pow {
        return Ok(all);
    }
    let names = adapter.description().extra.iter().filter(|(key, _)| key == "algorithm");
    for (n, (_, name)) in names.enumerate() {
        let name =
            std::str::from_utf8(name).map_err(|_| "the name of an algorithm is not text".to_owned())?;
        let plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if n >= EXPORTED || name.is_empty() || name.len() > 32 || !plain {
            return Err(format!(
                "at most {EXPORTED} algorithms with names of 1 to 32 letters, digits and hyphens"
            ));
        }
        if !all.add(Arc::new(Exported { name: Arc::from(name), adapter: Arc::clone(adapter) })) {
            return Err(format!(
                "the algorithm {name:?} is native: the adapter's own is not used, leave it out"
            ));
        }
    }
    Ok(all)
}

struct Exported {
    name: Arc<str>,
    adapter: Arc<dyn ChainAdapter>,
}

struct Prepared {
    name: Arc<str>,
    adapter: Arc<dyn ChainAdapter>,
    key: Vec<u8>,
}

impl Algorithm for Exported {
    fn name(&self) -> &str {
        &self.name
    }

    fn key(&self) -> Key {
        Key::Dear
    }

    fn cost(&self) -> Cost {
        Cost::Heavy
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        let (name, adapter) = (Arc::clone(&self.name), Arc::clone(&self.adapter));
        Ok(Arc::new(Prepared { name, adapter, key: key.to_vec() }))
    }
}

impl Context for Prepared {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        self.hash_batch(input.len(), input, out)
    }

    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let failed = |reason: String| AlgorithmError::Failed { algorithm: (*self.name).into(), reason };
        let bytes = u32::try_from(width).map_err(|_| failed("an input is too large".to_owned()))?;
        let done = self.adapter.pow(&self.name, &self.key, bytes, inputs);
        let hashes = done.map_err(|error| failed(error.to_string()))?.value;
        if hashes.len() != out.len() {
            return Err(failed(format!(
                "{} bytes of hashes where {} were expected",
                hashes.len(),
                out.len()
            )));
        }
        out.copy_from_slice(&hashes);
        Ok(())
    }
}
