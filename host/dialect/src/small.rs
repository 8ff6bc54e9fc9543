//! What a share consists of, kept without memory of its own: names and ids of some characters, and the bytes of fields.

/// Bytes that fit without memory of their own.
const SHORT: usize = 22;
/// Bytes of all fields of a share that fit without memory of their own; only proofs are longer.
const FEW_BYTES: usize = 64;
/// Fields that fit without memory of their own.
const FEW_FIELDS: usize = 6;

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

/// Where a field lies among the bytes.
#[derive(Clone, Debug)]
struct Slot {
    name: Short,
    start: u32,
    end: u32,
}

/// The fields of a share by name, in the order they were put in.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    few: [Option<Slot>; FEW_FIELDS],
    count: usize,
    more: Vec<Slot>,
    bytes: FieldBytes,
}

impl Fields {
    /// The bytes of the next field are appended here.
    pub(crate) fn open(&mut self) -> &mut FieldBytes {
        &mut self.bytes
    }

    /// Names what was appended since `start`.
    #[inline]
    pub(crate) fn close(&mut self, name: &Short, start: usize) {
        let slot = Slot { name: name.clone(), start: start as u32, end: self.bytes.len() as u32 };
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = Some(slot);
                self.count += 1;
            }
            None => self.more.push(slot),
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.few.iter().flatten().chain(&self.more)
    }

    fn at(&self, slot: &Slot) -> &[u8] {
        self.bytes.as_slice().get(slot.start as usize..slot.end as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.slots().find(|slot| slot.name.as_bytes() == name.as_bytes()).map(|slot| self.at(slot))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.slots().map(|slot| (slot.name.as_str(), self.at(slot)))
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
