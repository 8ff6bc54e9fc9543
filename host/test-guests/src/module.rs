//! A component with every export of a world, some with a body of the test's own.
//!
//! `wit-component` makes a module whose functions all trap; here it is printed as text, its allocator and memory are
//! made to work, and chosen bodies are replaced.

use std::path::PathBuf;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// Where a guest's own data begins; its heap begins at 1 MiB.
pub const DATA: u32 = 4096;

/// What a component is made of beside the bodies that matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    /// The contract's folder in `wit`.
    pub(crate) folder: &'a str,
    pub(crate) world: &'a str,
    /// A package of the test's own that `world` is in.
    pub(crate) wit: Option<&'a str>,
    /// Functions that the bodies call, by name.
    pub(crate) functions: &'a str,
}

impl<'a> Guest<'a> {
    pub(crate) fn of(folder: &'a str, world: &'a str) -> Self {
        Self { folder, world, wit: None, functions: "" }
    }

    pub(crate) fn build(&self, bodies: &[(&str, &str)], data: &[u8]) -> Vec<u8> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(self.folder);
        let mut resolve = Resolve::default();
        let (mut package, _) = resolve.push_path(&path).unwrap();
        if let Some(wit) = self.wit {
            package = resolve.push_str("test.wit", wit).unwrap();
        }
        let world = resolve.select_world(&[package], Some(self.world)).unwrap();
        let dummy = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
        let text = wasmprinter::print_bytes(dummy).unwrap();
        let mut text = rewritten(&text, bodies, data);
        // Behind all others, whose numbers stay what they are.
        text.truncate(text.trim_end().len() - 1);
        text.push_str(self.functions);
        text.push(')');
        let mut module = wat::parse_str(text).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }
}

/// A component of `world` in `wit/<folder>`: `bodies` are (export, WAT instructions), `data` lies at [`DATA`]. `AGAIN` in
/// a body calls its own function with its own arguments. Memory below [`DATA`] is free, and zero.
///
/// # Panics
/// On a world or a body that does not parse.
#[must_use]
pub fn guest(folder: &str, world: &str, bodies: &[(&str, &str)], data: &[u8]) -> Vec<u8> {
    Guest::of(folder, world).build(bodies, data)
}

fn rewritten(text: &str, bodies: &[(&str, &str)], data: &[u8]) -> String {
    let mut out = String::new();
    let mut replacing: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("(memory ") {
            out.push_str("(memory (;0;) 64)\n(global $heap (mut i32) (i32.const 1048576))\n");
            let escaped: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
            out.push_str(&format!("(data (i32.const {DATA}) \"{escaped}\")\n"));
            continue;
        }
        if let Some(number) = trimmed.strip_prefix("(func (;").and_then(|rest| rest.split(';').next()) {
            let again = again(trimmed, number);
            replacing = body_of(text, number, bodies).map(|body| body.replace("AGAIN", &again));
        }
        if trimmed == "unreachable"
            && let Some(body) = replacing.take()
        {
            out.push_str(&body);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// A call of the function whose head this is, with its own arguments.
fn again(head: &str, number: &str) -> String {
    let parameters = head.split("(param ").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("");
    let arguments: String =
        (0..parameters.split_whitespace().count()).map(|at| format!(" (local.get {at})")).collect();
    format!("(call {number}{arguments})")
}

/// The body for the function of this number: the test's, an allocator, or nothing for what is called after a return.
fn body_of(text: &str, number: &str, bodies: &[(&str, &str)]) -> Option<String> {
    let end = format!("\" (func {number}))");
    let name = text.lines().find_map(|line| line.trim().strip_suffix(&end)?.strip_prefix("(export \""))?;
    if name == "cabi_realloc" {
        // A bump allocator, 8 bytes aligned, that grows the memory.
        return Some(
            "(local i32) global.get $heap local.set 4
             global.get $heap local.get 3 i32.add i32.const 7 i32.add i32.const -8 i32.and global.set $heap
             (block (br_if 0 (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                (drop (memory.grow (i32.const 256))))
             local.get 4"
                .to_owned(),
        );
    }
    let own = bodies.iter().find(|(export, _)| *export == name);
    own.map(|(_, body)| (*body).to_owned()).or_else(|| name.starts_with("cabi_post_").then(String::new))
}

/// A guest's data with pointers into itself.
#[derive(Debug, Default)]
pub struct Data(pub Vec<u8>);

impl Data {
    fn align(&mut self) {
        while !self.0.len().is_multiple_of(8) {
            self.0.push(0);
        }
    }

    /// Puts bytes; their address and length.
    ///
    /// # Panics
    /// Beyond 4 GiB.
    pub fn bytes(&mut self, bytes: &[u8]) -> [u32; 2] {
        self.align();
        let at = DATA + u32::try_from(self.0.len()).unwrap();
        self.0.extend(bytes);
        [at, u32::try_from(bytes.len()).unwrap()]
    }

    /// Puts words of 32 bits; their address.
    pub fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.bytes(&bytes)[0]
    }
}
