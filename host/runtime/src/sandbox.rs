//! Loading plugins: static checks, compiled code from the cache or from the compiling child, admission.

use crate::cache::Cache;
use crate::compile::{CompileError, Compiler, compile};
use crate::engine::{self, Purpose};
use crate::inspect::{Finding, Report, inspect};
use crate::limits::{self, Class};
use crate::places::Places;
use crate::unchecked;
use millpond_types::Digest;
use std::path::Path;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::Component;

/// A component that is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It does not pass the static checks.
    #[error("the plugin does not fit: {}", joined(.0))]
    Unfit(Vec<Finding>),
    /// It does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Compiled, it would not fit the instance pool or could not be loaded.
    #[error("the compiled plugin cannot be loaded: {0}")]
    Load(String),
    /// The engine or the folder of compiled code could not be set up.
    #[error("the sandbox cannot start: {0}")]
    Sandbox(String),
}

fn joined(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The engines, the cache of compiled code and who compiles. One per process.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
    adapter: Engine,
    strict: Engine,
    places: [Arc<Places>; 2],
    cache: Option<Cache>,
    compiler: Compiler,
}

impl Sandbox {
    /// Sets up both engines and the epoch's ticker. `cache` is a folder for compiled code; without one, every start
    /// compiles again.
    ///
    /// # Errors
    /// When an engine cannot be made (address space) or the folder cannot be written.
    pub fn new(cache: Option<&Path>, compiler: Compiler) -> Result<Self, LoadError> {
        let made = |class| {
            engine::engine(class, Purpose::Run).map_err(|error| LoadError::Sandbox(format!("{error:#}")))
        };
        let (adapter, strict) = (made(Class::Adapter)?, made(Class::Strict)?);
        let cache = cache
            .map(|folder| {
                Cache::open(folder)
                    .map_err(|error| LoadError::Sandbox(format!("{}: {error}", folder.display())))
            })
            .transpose()?;
        tick(&[adapter.clone(), strict.clone()]).map_err(|error| LoadError::Sandbox(error.to_string()))?;
        Ok(Self(Arc::new(Shared { adapter, strict, places: Default::default(), cache, compiler })))
    }

    /// The engine of a class: for linkers.
    #[must_use]
    pub fn engine(&self, class: Class) -> &Engine {
        match class {
            Class::Adapter => &self.0.adapter,
            Class::Strict => &self.0.strict,
        }
    }

    /// Checks, compiles (or finds compiled) and loads a component.
    ///
    /// # Errors
    /// When it does not fit its class, does not compile within limits, or needs more than an instance may have.
    pub fn load(&self, name: &str, wasm: &[u8], class: Class) -> Result<Plugin, LoadError> {
        let report = inspect(wasm, class);
        if !report.findings.is_empty() {
            return Err(LoadError::Unfit(report.findings));
        }
        let engine = self.engine(class);
        let compatibility = engine::compatibility(engine);
        let cached = self.0.cache.as_ref().and_then(|cache| {
            let code = cache.get(class, report.digest, compatibility)?;
            match unchecked::load_compiled(engine, &code) {
                Ok(component) => Some(component),
                Err(error) => {
                    tracing::warn!(plugin = name, error = %format!("{error:#}"), "compiled code is of another engine");
                    cache.discard(class, report.digest, compatibility);
                    None
                }
            }
        });
        let component = match cached {
            Some(component) => component,
            None => {
                let code = compile(&self.0.compiler, class, wasm)?;
                if let Some(cache) = &self.0.cache {
                    cache.put(class, report.digest, compatibility, &code);
                }
                unchecked::load_compiled(engine, &code)
                    .map_err(|error| LoadError::Load(format!("{error:#}")))?
            }
        };
        admit(&component, class)?;
        let [adapter, strict] = &self.0.places;
        let places = Arc::clone(match class {
            Class::Adapter => adapter,
            Class::Strict => strict,
        });
        Ok(Plugin(Arc::new(Loaded { name: name.to_owned(), component, report, places })))
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sandbox({:?})", self.0.compiler)
    }
}

/// Refuses what would need more than an instance may have before the first instance is made.
fn admit(component: &Component, class: Class) -> Result<(), LoadError> {
    let Some(needs) = component.resources_required() else {
        return Err(LoadError::Load("it instantiates imported modules, whose size is not known".to_owned()));
    };
    let memory = needs.max_initial_memory_size.unwrap_or(0);
    let limit = class.limits().memory.base;
    if memory > limit {
        return Err(LoadError::Load(format!(
            "it starts with {memory} bytes of memory, the limit is {limit}"
        )));
    }
    let table = needs.max_initial_table_size.unwrap_or(0);
    if table > class.limits().table {
        return Err(LoadError::Load(format!(
            "it starts with a table of {table}, the limit is {}",
            class.limits().table
        )));
    }
    Ok(())
}

/// Advances both engines' epochs every tick, until both are gone.
fn tick(engines: &[Engine]) -> std::io::Result<()> {
    let engines: Vec<_> = engines.iter().map(Engine::weak).collect();
    let ticker = move || {
        loop {
            std::thread::sleep(limits::TICK);
            let alive: Vec<_> = engines.iter().filter_map(wasmtime::EngineWeak::upgrade).collect();
            if alive.is_empty() {
                return;
            }
            alive.iter().for_each(Engine::increment_epoch);
        }
    };
    std::thread::Builder::new().name("plugin-epoch".to_owned()).spawn(ticker).map(drop)
}

/// A loaded component.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    name: String,
    component: Component,
    report: Report,
    places: Arc<Places>,
}

impl Plugin {
    /// The name it was loaded under, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.report.digest
    }

    /// Its class.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.report.class
    }

    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.0.places
    }

    /// What the static checks found.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// The compiled component: for linkers.
    #[must_use]
    pub fn component(&self) -> &Component {
        &self.0.component
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({}, {})", self.name(), self.digest().short())
    }
}
