//! Values cut from the bytes of an input. What is asked for beyond its end is zero or empty.

/// What is left of an input.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// So many bytes, or fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Two bytes, the lower first.
    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Bytes with their number in one byte before them; 255 takes the number from the next two bytes.
    pub(crate) fn string(&mut self) -> &'a [u8] {
        let count = match self.byte() {
            255 => usize::from(self.word()),
            count => usize::from(count),
        };
        self.take(count)
    }

    /// What stands before the first of `mark`, which is dropped; all where there is none.
    pub(crate) fn until(&mut self, mark: u8) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == mark);
        let front = self.take(end.unwrap_or(self.0.len()));
        self.take(1);
        front
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
