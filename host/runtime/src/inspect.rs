//! Static checks of a component, before anything is compiled: what it weighs, contains, imports and exports.
//!
//! The same code decides whether the host loads a plugin and what `millpond plugin check` prints.

use crate::guest_log::clean;
use crate::limits::{Class, Content, MIB};
use millpond_types::Digest;
use std::ops::Range;
use wasmparser_of_engine::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId,
};
use wasmparser_of_engine::types::Types;
use wasmparser_of_engine::{
    Encoding, FunctionBody, KnownCustom, Name, Parser, Payload, TypeRef, Validator, WasmFeatures,
};

/// Why a component does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Larger than its class allows.
    #[error("size: {size} bytes, the {class} class allows {limit}")]
    Size {
        /// Its class.
        class: Class,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Not a component at all.
    #[error("not a component: {0}")]
    NotAComponent(String),
    /// A component that does not validate.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Floats where there may be none.
    #[error("floats in the strict class: {place}: {message}; money and votes are decided in integers only")]
    Floats {
        /// The function.
        place: String,
        /// The validator's words.
        message: String,
    },
    /// More of something than compiles in reasonable time.
    #[error("too many {what}: {count}, the {class} class allows {limit}")]
    TooMany {
        /// Its class.
        class: Class,
        /// What there is too much of.
        what: &'static str,
        /// How much.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// An import in the strict class, or one that no contract knows.
    #[error("unknown import: {name}; {allowed}")]
    UnknownImport {
        /// The interface or function.
        name: String,
        /// What may be imported.
        allowed: String,
    },
    /// A required export is not there.
    #[error("missing export: {name}")]
    MissingExport {
        /// The interface, or interface and function.
        name: String,
    },
    /// An optional interface that the contract has and this host never calls: a plugin that counts on it would not work.
    #[error("not served: {name} is not called by this host yet; leave the interface out")]
    NotServed {
        /// The interface.
        name: String,
    },
    /// An interface of a package version that this host does not know.
    #[error("wrong version: it exports {found}, this host knows {known}")]
    WrongVersion {
        /// What it exports.
        found: String,
        /// What the host knows.
        known: String,
    },
    /// An import or export of another type than the contract's.
    #[error("wrong type: {0}")]
    WrongType(String),
}

/// An import or export of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    /// Its name, such as `millpond:chain/adapter@0.1.0`.
    pub name: String,
    /// The functions of an interface; of a plain function, its own name.
    pub functions: Vec<String>,
    /// Whether it holds types only, so that nothing can be called through it.
    pub types_only: bool,
}

impl Extern {
    /// Package, interface and version of `package/interface@version`.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, &str, semver::Version)> {
        let (path, version) = self.name.split_once('@')?;
        let (package, interface) = path.split_once('/')?;
        Some((package, interface, semver::Version::parse(version).ok()?))
    }
}

/// What a component contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Functions with a body.
    pub functions: u64,
    /// The longest body in bytes.
    pub longest_body: u64,
    /// Most locals of a function.
    pub most_locals: u64,
    /// Core modules.
    pub modules: u64,
    /// Nested components.
    pub components: u64,
    /// Tables.
    pub tables: u64,
    /// The largest table's first size.
    pub largest_table: u64,
    /// Memories.
    pub memories: u64,
    /// The largest memory's first size in bytes.
    pub largest_memory: u64,
    /// Globals.
    pub globals: u64,
    /// Types.
    pub types: u64,
    /// Imports and exports of core modules.
    pub externs: u64,
}

/// What the static checks found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The class it was checked for.
    pub class: Class,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it imports.
    pub imports: Vec<Extern>,
    /// What it exports.
    pub exports: Vec<Extern>,
    /// What it contains.
    pub counts: Counts,
    /// Why it does not fit; empty when it does.
    pub findings: Vec<Finding>,
}

/// Checks a component against its class.
#[must_use]
pub fn inspect(bytes: &[u8], class: Class) -> Report {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut report = Report {
        class,
        digest: Digest::of(bytes),
        size,
        imports: Vec::new(),
        exports: Vec::new(),
        counts: Counts::default(),
        findings: Vec::new(),
    };
    let limit = class.limits().component;
    if size > limit {
        // Nothing is parsed of what is too large.
        report.findings.push(Finding::Size { class, size, limit });
        return report;
    }
    let walked = match walk(bytes) {
        Ok(walked) => walked,
        Err(finding) => {
            report.findings.push(finding);
            return report;
        }
    };
    report.counts = walked.counts;
    let too_many = contents(class, &walked.counts);
    if !too_many.is_empty() {
        report.findings.extend(too_many);
        return report;
    }
    match Validator::new_with_features(features(class)).validate_all(bytes) {
        Ok(types) => (report.imports, report.exports) = externs(&types, &walked),
        Err(error) => report.findings.push(invalid(bytes, class, &walked, &error)),
    }
    if class == Class::Strict {
        let reached = report.imports.iter().filter(|import| !import.types_only);
        report.findings.extend(reached.map(|import| Finding::UnknownImport {
            name: import.name.clone(),
            allowed: "the strict class imports nothing: all a plugin knows arrives as an argument".to_owned(),
        }));
    }
    report
}

/// What validates in a class, as `engine::config` sets it.
fn features(class: Class) -> WasmFeatures {
    let mut features = WasmFeatures::WASM2 | WasmFeatures::COMPONENT_MODEL | WasmFeatures::TAIL_CALL;
    features |= WasmFeatures::MULTI_MEMORY | WasmFeatures::EXTENDED_CONST;
    if class == Class::Strict {
        features.remove(WasmFeatures::FLOATS);
        features.remove(WasmFeatures::SIMD);
    }
    features
}

fn invalid(
    bytes: &[u8],
    class: Class,
    walked: &Walked,
    error: &wasmparser_of_engine::BinaryReaderError,
) -> Finding {
    let message = format!("{} (at byte {:#x})", clean(error.message(), 500), error.offset());
    let floats_alone = class == Class::Strict
        && Validator::new_with_features(features(class) | WasmFeatures::FLOATS | WasmFeatures::SIMD)
            .validate_all(bytes)
            .is_ok();
    if floats_alone {
        Finding::Floats { place: walked.place(error.offset()), message }
    } else {
        Finding::Invalid(message)
    }
}

fn contents(class: Class, counts: &Counts) -> Vec<Finding> {
    let Content { functions, body, locals, modules, components, tables, memories, globals, types, externs } =
        class.limits().content;
    let limits = class.limits();
    [
        ("functions", counts.functions, functions),
        ("bytes in one function", counts.longest_body, body),
        ("locals in one function", counts.most_locals, locals),
        ("core modules", counts.modules, modules),
        ("nested components", counts.components, components),
        ("tables", counts.tables, tables),
        ("elements in one table", counts.largest_table, limits.table),
        ("memories", counts.memories, memories),
        ("MiB of memory at start", counts.largest_memory.div_ceil(MIB), limits.memory.base / MIB),
        ("globals", counts.globals, globals),
        ("types", counts.types, types),
        ("imports and exports of core modules", counts.externs, externs),
    ]
    .into_iter()
    .filter(|(_, count, limit)| count > limit)
    .map(|(what, count, limit)| Finding::TooMany { class, what, count, limit })
    .collect()
}

#[derive(Default)]
struct Walked {
    counts: Counts,
    imports: Vec<String>,
    exports: Vec<String>,
    bodies: Vec<Body>,
    names: Vec<(u64, u32, String)>,
}

struct Body {
    range: Range<usize>,
    module: u64,
    function: u32,
}

impl Walked {
    /// The function at a byte.
    fn place(&self, offset: usize) -> String {
        let Some(body) = self.bodies.iter().find(|body| body.range.contains(&offset)) else {
            return "outside of functions (a type, a global or a constant)".to_owned();
        };
        let named = self
            .names
            .iter()
            .find(|(module, function, _)| (*module, *function) == (body.module, body.function));
        match named {
            Some((_, _, name)) => format!("function {:?} of core module {}", clean(name, 200), body.module),
            None => format!("function {} of core module {}", body.function, body.module),
        }
    }
}

/// What a core module has shown so far.
#[derive(Default)]
struct Module {
    index: u64,
    imported: u32,
    defined: u32,
}

fn walk(bytes: &[u8]) -> Result<Walked, Finding> {
    let mut walked = Walked::default();
    let mut open: Vec<Option<Module>> = Vec::new();
    let bad =
        |error: wasmparser_of_engine::BinaryReaderError| Finding::NotAComponent(clean(error.message(), 500));
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(bad)?;
        let counts = &mut walked.counts;
        match payload {
            Payload::Version { encoding, .. } => {
                if open.is_empty() && encoding == Encoding::Module {
                    let words =
                        "it is a core module; make it a component with `millpond plugin build`".to_owned();
                    return Err(Finding::NotAComponent(words));
                }
                if encoding == Encoding::Module {
                    open.push(Some(Module { index: counts.modules, ..Module::default() }));
                    counts.modules = counts.modules.saturating_add(1);
                } else {
                    if !open.is_empty() {
                        counts.components = counts.components.saturating_add(1);
                    }
                    open.push(None);
                }
            }
            Payload::End(_) => {
                open.pop();
            }
            Payload::ComponentImportSection(section) if open.len() == 1 => {
                for import in section {
                    walked.imports.push(import.map_err(bad)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if open.len() == 1 => {
                for export in section {
                    walked.exports.push(export.map_err(bad)?.name.name.to_owned());
                }
            }
            Payload::TypeSection(section) => {
                counts.types = counts.types.saturating_add(section.count().into())
            }
            Payload::ComponentTypeSection(section) => {
                counts.types = counts.types.saturating_add(section.count().into());
            }
            Payload::ImportSection(section) => {
                counts.externs = counts.externs.saturating_add(section.count().into());
                for import in section.into_imports() {
                    let import = import.map_err(bad)?;
                    if matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_))
                        && let Some(Some(module)) = open.last_mut()
                    {
                        module.imported = module.imported.saturating_add(1);
                    }
                }
            }
            Payload::ExportSection(section) => {
                counts.externs = counts.externs.saturating_add(section.count().into());
            }
            Payload::GlobalSection(section) => {
                counts.globals = counts.globals.saturating_add(section.count().into());
            }
            Payload::TableSection(section) => {
                for table in section {
                    counts.tables = counts.tables.saturating_add(1);
                    counts.largest_table = counts.largest_table.max(table.map_err(bad)?.ty.initial);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    counts.memories = counts.memories.saturating_add(1);
                    let bytes = memory.map_err(bad)?.initial.saturating_mul(64 * 1024);
                    counts.largest_memory = counts.largest_memory.max(bytes);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let (module, function) = match open.last_mut() {
                    Some(Some(module)) => {
                        let function = module.imported.saturating_add(module.defined);
                        module.defined = module.defined.saturating_add(1);
                        (module.index, function)
                    }
                    _ => (0, 0),
                };
                counts.functions = counts.functions.saturating_add(1);
                let length = u64::try_from(body.range().len()).unwrap_or(u64::MAX);
                counts.longest_body = counts.longest_body.max(length);
                counts.most_locals = counts.most_locals.max(locals(&body).map_err(bad)?);
                walked.bodies.push(Body { range: body.range(), module, function });
            }
            Payload::CustomSection(section) => {
                let Some(Some(module)) = open.last() else { continue };
                if let KnownCustom::Name(names) = section.as_known() {
                    for name in names.into_iter().flatten() {
                        if let Name::Function(map) = name {
                            let known = map.into_iter().flatten().take(200_000);
                            walked
                                .names
                                .extend(known.map(|name| (module.index, name.index, name.name.to_owned())));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(walked)
}

fn locals(body: &FunctionBody<'_>) -> Result<u64, wasmparser_of_engine::BinaryReaderError> {
    let mut sum = 0_u64;
    for local in body.get_locals_reader()? {
        sum = sum.saturating_add(local?.0.into());
    }
    Ok(sum)
}

fn externs(types: &Types, walked: &Walked) -> (Vec<Extern>, Vec<Extern>) {
    let describe = |name: &String, ty: Option<&ComponentEntityType>| match ty {
        Some(ComponentEntityType::Instance(id)) => {
            let functions = functions(types, *id);
            let types_only = only_types(types, *id);
            Extern { name: name.clone(), functions, types_only }
        }
        Some(ComponentEntityType::Type { .. }) => {
            Extern { name: name.clone(), functions: Vec::new(), types_only: true }
        }
        _ => Extern { name: name.clone(), functions: vec![name.clone()], types_only: false },
    };
    let import = |name: &String| describe(name, types.component_item_for_import(name).map(|item| &item.ty));
    let export = |name: &String| describe(name, types.component_item_for_export(name).map(|item| &item.ty));
    (walked.imports.iter().map(import).collect(), walked.exports.iter().map(export).collect())
}

fn functions(types: &Types, instance: ComponentInstanceTypeId) -> Vec<String> {
    let Some(instance) = types.as_ref().get(instance) else { return Vec::new() };
    let named = instance.exports.iter().filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
    named.map(|(name, _)| name.clone()).collect()
}

/// Whether nothing can be called through an instance: it exports types without resources.
fn only_types(types: &Types, instance: ComponentInstanceTypeId) -> bool {
    let Some(instance) = types.as_ref().get(instance) else { return false };
    instance.exports.values().all(|item| match &item.ty {
        ComponentEntityType::Type { created, .. } => !matches!(created, ComponentAnyTypeId::Resource(_)),
        _ => false,
    })
}
