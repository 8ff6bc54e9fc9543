//! scrypt as proof of work: N = 1024, r = 1, p = 1, 32 bytes of output, the input as its own salt.

use crate::{Algorithm, AlgorithmError, Context, Cost, put};
use std::sync::Arc;

const NAME: &str = "scrypt";

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![Arc::new(Scrypt)]
}

struct Scrypt;

impl Algorithm for Scrypt {
    fn name(&self) -> &str {
        NAME
    }

    fn cost(&self) -> Cost {
        Cost::Heavy
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        if !key.is_empty() {
            return Err(AlgorithmError::Key { algorithm: NAME.into(), needed: "0", given: key.len() });
        }
        // log2(1024) = 10.
        let params = scrypt::Params::new(10, 1, 1)
            .map_err(|e| AlgorithmError::Failed { algorithm: NAME.into(), reason: e.to_string() })?;
        Ok(Arc::new(ScryptContext(params)))
    }
}

struct ScryptContext(scrypt::Params);

impl Context for ScryptContext {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let mut hash = [0; 32];
        scrypt::scrypt(input, input, &self.0, &mut hash)
            .map_err(|e| AlgorithmError::Failed { algorithm: NAME.into(), reason: e.to_string() })?;
        put(NAME, hash, out)
    }
}
