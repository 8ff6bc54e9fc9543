//! What a share consists of, kept without memory of its own: names and ids of some characters, and the bytes of fields.

use std::sync::Arc;

/// Bytes that fit without memory of their own.
const SHORT: usize = 22;
/// Bytes of all fields of a share that fit without memory of their own; only proofs are longer.
const FEW_BYTES: usize = 64;
/// Fields that fit without memory of their own.
const FEW_FIELDS: usize = 6;
/// Letters of a field's name that fit without memory of their own.
const FEW_LETTERS: usize = 16;

/// Text that is mostly short.
#[derive(Clone)]
pub(crate) enum Short {
    Inline(u8, [u8; SHORT]),
    Heap(Box<str>),
}

impl Short {
    #[inline]
    pub(crate) fn new(text: &str) -> Self {
        let mut inline = [0; SHORT];
        match inline.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self::Inline(text.len() as u8, inline)
            }
            None => Self::Heap(text.into()),
        }
    }

    /// What a text begins with. Where enough follows, so many bytes are copied at once as are kept at most: that is one
    /// move, and what lies behind the end is never looked at.
    #[inline]
    pub(crate) fn beginning(text: &str, len: usize) -> Option<Self> {
        match text.as_bytes().first_chunk() {
            Some(chunk) if len <= SHORT => Some(Self::Inline(len as u8, *chunk)),
            _ => text.get(..len).map(Self::new),
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Heap(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        // What went in was text.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A field's name as it is kept with a share: its letters and zeros behind them, so that it is copied and compared like a
/// number, or all of it where it is longer than that.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Few([u8; FEW_LETTERS]),
    Many(Arc<str>),
}

impl Name {
    pub(crate) fn new(name: &Arc<str>) -> Self {
        letters(name).map_or_else(|| Self::Many(Arc::clone(name)), Self::Few)
    }
}

/// A name of few letters, and zeros behind them. No name has a zero in it.
#[inline]
fn letters(name: &str) -> Option<[u8; FEW_LETTERS]> {
    let mut letters = [0; FEW_LETTERS];
    letters.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(letters)
}

/// Where a field lies among the bytes.
#[derive(Clone, Copy, Default)]
struct Slot {
    name: [u8; FEW_LETTERS],
    start: u32,
    end: u32,
}

impl Slot {
    fn name(&self) -> &str {
        let len = self.name.iter().position(|letter| *letter == 0).unwrap_or(FEW_LETTERS);
        // What went in was text.
        self.name.get(..len).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

/// The fields of a share by name, in the order they were put in.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    few: [Slot; FEW_FIELDS],
    count: usize,
    /// Whatever comes after these, and from the first name on that is too long for a slot.
    more: Vec<(Arc<str>, u32, u32)>,
    bytes: FieldBytes,
}

impl Fields {
    /// The bytes of the next field are appended here.
    pub(crate) fn open(&mut self) -> &mut FieldBytes {
        &mut self.bytes
    }

    /// Names what was appended since `start`.
    #[inline]
    pub(crate) fn close(&mut self, name: &Name, start: usize) {
        let (start, end) = (start as u32, self.bytes.len() as u32);
        if let (Name::Few(name), Some(place), true) =
            (name, self.few.get_mut(self.count), self.more.is_empty())
        {
            *place = Slot { name: *name, start, end };
            self.count += 1;
            return;
        }
        self.close_more(name, start, end);
    }

    #[cold]
    fn close_more(&mut self, name: &Name, start: u32, end: u32) {
        let name = match name {
            Name::Few(name) => Slot { name: *name, start, end }.name().into(),
            Name::Many(name) => Arc::clone(name),
        };
        self.more.push((name, start, end));
    }

    fn few(&self) -> &[Slot] {
        self.few.get(..self.count).unwrap_or_default()
    }

    fn at(&self, start: u32, end: u32) -> &[u8] {
        self.bytes.as_slice().get(start as usize..end as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let few = letters(name).and_then(|name| self.few().iter().find(|slot| slot.name == name));
        if let Some(slot) = few {
            return Some(self.at(slot.start, slot.end));
        }
        let (_, start, end) = self.more.iter().find(|(known, ..)| **known == *name)?;
        Some(self.at(*start, *end))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let few = self.few().iter().map(|slot| (slot.name(), self.at(slot.start, slot.end)));
        few.chain(self.more.iter().map(|(name, start, end)| (&**name, self.at(*start, *end))))
    }
}

/// Bytes that are mostly few.
#[derive(Clone)]
pub(crate) struct FieldBytes {
    len: usize,
    few: [u8; FEW_BYTES],
    /// All of them, once they are more.
    many: Vec<u8>,
}

impl Default for FieldBytes {
    fn default() -> Self {
        Self { len: 0, few: [0; FEW_BYTES], many: Vec::new() }
    }
}

impl FieldBytes {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.many.is_empty() { self.few.get(..self.len).unwrap_or_default() } else { &self.many }
    }

    /// Room for so many more bytes, zeros at first.
    #[inline]
    pub(crate) fn grow(&mut self, more: usize) -> &mut [u8] {
        let start = self.len;
        self.len += more;
        if self.many.is_empty() && self.len <= FEW_BYTES {
            return self.few.get_mut(start..self.len).unwrap_or_default();
        }
        if self.many.is_empty() {
            self.many.reserve(self.len);
            self.many.extend_from_slice(self.few.get(..start).unwrap_or_default());
        }
        self.many.resize(self.len, 0);
        self.many.get_mut(start..).unwrap_or_default()
    }

    /// Room for so many more bytes among the few; `None`, and nothing is taken, where they are more than a few.
    #[inline]
    pub(crate) fn room(&mut self, more: usize) -> Option<&mut [u8]> {
        let (start, end) = (self.len, self.len.checked_add(more)?);
        if !self.many.is_empty() {
            return None;
        }
        let room = self.few.get_mut(start..end)?;
        self.len = end;
        Some(room)
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Forgets what lies behind a length.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        if let Some(zeros) = self.few.get_mut(len..) {
            zeros.fill(0);
        }
        if self.many.is_empty() {
            self.len = len;
            return;
        }
        self.many.truncate(len);
        self.len = len;
        if self.many.is_empty() {
            self.few.fill(0);
        }
    }

    /// Everything from a place on.
    pub(crate) fn from(&mut self, start: usize) -> &mut [u8] {
        let len = self.len;
        if self.many.is_empty() { self.few.get_mut(start..len) } else { self.many.get_mut(start..) }
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_names_of_any_length_are_found() {
        let names = ["xn", "exactly-sixteen-", "seventeen-letters", "time", "a", "b", "c", "d", "e"];
        let mut fields = Fields::default();
        for (i, name) in names.iter().enumerate() {
            let start = fields.open().len();
            fields.open().push(&[i as u8; 9]);
            fields.close(&Name::new(&Arc::from(*name)), start);
        }
        let found: Vec<_> = fields.iter().map(|(name, bytes)| (name, bytes[0], bytes.len())).collect();
        let wanted: Vec<_> = names.iter().enumerate().map(|(i, name)| (*name, i as u8, 9)).collect();
        assert_eq!(found, wanted);
        for (name, first, _) in wanted {
            assert_eq!(fields.get(name), Some(&[first; 9][..]), "{name}");
        }
        assert_eq!(fields.get("exactly-sixteen"), None);
        assert_eq!(fields.get(""), None);
    }

    #[test]
    fn a_beginning_is_cut_wherever_the_text_ends() {
        let text = "\"0123456789012345678901234567890\"";
        for len in 0..=text.len() {
            for end in len..=text.len() {
                assert_eq!(Short::beginning(&text[..end], len).unwrap().as_str(), &text[..len]);
            }
        }
        assert!(Short::beginning("4", 2).is_none());
    }
}
