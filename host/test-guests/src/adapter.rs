//! A chain adapter that describes itself and does one thing.

use crate::module::{Data, Guest};

/// The interface that every adapter exports.
pub const ADAPTER: &str = "millpond:chain/adapter@0.1.0";

/// A chain adapter of network "test" whose `handle` and `assemble` are the test's: WAT instructions, where `EMPTY` is an
/// empty list of actions. It describes itself with one recipe and no transport.
#[must_use]
pub fn adapter(handle: &str, assemble: &str, recipe: &str) -> Vec<u8> {
    adapter_of("test", 10, handle, assemble, recipe)
}

/// As [`adapter`], of any network and with so many blocks until a coinbase is final: what may follow a running version
/// in a pool.
#[must_use]
pub fn adapter_of(network: &str, final_after: u32, handle: &str, assemble: &str, recipe: &str) -> Vec<u8> {
    let documents = Documents { network, final_after, recipe, ..Documents::default() };
    described(&Guest::of("chain-0.1", "chain-adapter"), (handle, assemble), &[], documents, Data::default())
}

/// An adapter that does nothing, with these documents.
#[must_use]
pub fn adapter_with_documents(recipe: &str, dialect: &str) -> Vec<u8> {
    let documents = Documents { recipe, dialect: Some(dialect), ..Documents::default() };
    let guest = Guest::of("chain-0.1", "chain-adapter");
    described(&guest, ("EMPTY", "unreachable"), &[], documents, Data::default())
}

/// What an adapter says of itself.
pub(crate) struct Documents<'a> {
    pub(crate) network: &'a str,
    pub(crate) final_after: u32,
    pub(crate) recipe: &'a str,
    pub(crate) dialect: Option<&'a str>,
    /// Pairs of a name and bytes: their address and number.
    pub(crate) extra: (u32, u32),
}

impl Default for Documents<'_> {
    fn default() -> Self {
        Self { network: "test", final_after: 10, recipe: "recipe", dialect: None, extra: (0, 0) }
    }
}

pub(crate) fn described(
    guest: &Guest<'_>,
    (handle, assemble): (&str, &str),
    more: &[(&str, &str)],
    documents: Documents<'_>,
    mut data: Data,
) -> Vec<u8> {
    let Documents { network, final_after, recipe, dialect, extra } = documents;
    let network = data.bytes(network.as_bytes());
    let recipe = data.bytes(recipe.as_bytes());
    let recipes = data.words(&recipe);
    let (dialects, spoken) = match dialect {
        None => (0, 0),
        Some(dialect) => {
            let dialect = data.bytes(dialect.as_bytes());
            (data.words(&dialect), 1)
        }
    };
    let diff1 = data.bytes(&[0xff; 32]);
    let settlement = data.bytes(b"none");
    let description = data.words(&[
        0,
        0, // ok
        network[0],
        network[1],
        recipes,
        1, // network, recipes
        dialects,
        spoken,
        0,
        0, // dialects, transports
        diff1[0],
        diff1[1],
        0,
        0, // diff1, work-shift
        1,
        0, // scale
        0x0808,
        final_after, // decimals and extranonce of 8
        settlement[0],
        settlement[1],
        extra.0,
        extra.1, // settlement, extra
    ]);
    let empty = data.words(&[0, 0, 0]);
    // Any settings will do: a pool hands a new version those of the old one.
    let schema = data.bytes(br#"{"type":"object","properties":{"network":{"type":"string"},"maturity":{"type":"integer"},"orphan_after":{"type":"integer"}}}"#);
    let schema = data.words(&schema);
    let describe = format!("i32.const {description}");
    let schema = format!("i32.const {schema}");
    let handle = handle.replace("EMPTY", &format!("i32.const {empty}"));
    let (schema_name, describe_name, handle_name) =
        (format!("{ADAPTER}#schema"), format!("{ADAPTER}#describe"), format!("{ADAPTER}#handle"));
    let mut bodies = vec![
        (schema_name.as_str(), schema.as_str()),
        (describe_name.as_str(), describe.as_str()),
        (handle_name.as_str(), handle.as_str()),
        ("millpond:chain/block@0.1.0#assemble", assemble),
    ];
    bodies.extend(more);
    guest.build(&bodies, &data.0)
}
