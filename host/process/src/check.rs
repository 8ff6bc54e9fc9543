//! `millpond check`: a configuration as a whole, with everything it names. Nothing is started and nobody is asked.

use crate::running::{RunError, hooks, proxies};
use millpond_config::Config;
use millpond_pool::check::{self, Problem};
use millpond_runtime::{Compiler, LoadError, LogSink, Sandbox, TracingSink};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// The line of the file, from 1; 0 where none is to blame.
    pub line: usize,
    /// The pool; empty for the process.
    pub pool: String,
    /// The option, what is wrong with it, and what to do.
    pub text: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, pool, text } = self;
        if *line > 0 {
            write!(f, "{line}: ")?;
        } else {
            write!(f, " ")?;
        }
        if pool.is_empty() { f.write_str(text) } else { write!(f, "pool {pool}: {text}") }
    }
}

/// What was found in a configuration, each in the order of the file's lines.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What it does not start with.
    pub errors: Vec<Wrong>,
    /// What it starts with, and its operator should look at.
    pub warnings: Vec<Wrong>,
}

/// Looks at everything, in the order of the file's lines. `file` is where the configuration was read from; without a
/// compiler only the file itself is looked at: no plugin is loaded, no secret or certificate read.
///
/// # Errors
/// When this machine cannot run plugins.
pub fn check(config: &Config, file: &Path, compiler: Option<Compiler>) -> Result<Found, LoadError> {
    let beside = file.parent().unwrap_or(Path::new(""));
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let sandbox = compiler.map(|compiler| Sandbox::new(None, compiler)).transpose()?;
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    let mut of_process = |line: usize, why: RunError| {
        let text = why.to_string();
        let text = text.strip_prefix(&format!("line {line}: ")).unwrap_or(&text).to_owned();
        all.push(Wrong { line, pool: String::new(), text });
    };
    if let Some(http) = &config.http
        && let Err(why) = proxies(http)
    {
        of_process(http.span.line, why);
    }
    for alert in &config.alert {
        if let Err(why) = hooks(std::slice::from_ref(alert)) {
            of_process(alert.span.line, why);
        }
    }
    for section in &config.pool {
        let found = match &sandbox {
            Some(sandbox) => check::section(section, beside, sandbox, &sink),
            None => check::section_alone(section),
        };
        let of_pool = |Problem { line, text }| Wrong { line, pool: section.name.to_string(), text };
        if let Some(sandbox) = sandbox.as_ref().filter(|_| found.is_empty()) {
            warnings.extend(check::doubts(section, beside, sandbox, &sink).into_iter().map(of_pool));
        }
        all.extend(found.into_iter().map(of_pool));
    }
    all.sort_by_key(|wrong| wrong.line);
    warnings.sort_by_key(|wrong| wrong.line);
    Ok(Found { errors: all, warnings })
}
