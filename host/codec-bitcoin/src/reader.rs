//! A cursor over bytes in Bitcoin's encoding that knows where it stands.

/// The bytes ended, or a number is not written in its shortest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutShort;

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], CutShort> {
        let end = self.at.checked_add(count).ok_or(CutShort)?;
        let taken = self.bytes.get(self.at..end).ok_or(CutShort)?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CutShort> {
        self.take(N)?.try_into().map_err(|_| CutShort)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CutShort> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CutShort> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Bitcoin's "CompactSize"; only the shortest form is taken, as nodes do.
    pub(crate) fn count(&mut self) -> Result<u64, CutShort> {
        let [first] = self.array()?;
        let (value, least) = match first {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(self.u32()?), 0x1_0000),
            0xff => (self.u64()?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least { Err(CutShort) } else { Ok(value) }
    }

    /// Bytes with their count before them.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], CutShort> {
        let count = usize::try_from(self.count()?).map_err(|_| CutShort)?;
        self.take(count)
    }

    /// The next byte, unread.
    pub(crate) fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at.checked_add(ahead)?).copied()
    }
}
