//! The link between a process and the one that takes its place: words, and open sockets with them.
//!
//! A [`Link`] is one end of a pair of Unix stream sockets. A message is a value as JSON, so that a program of another version
//! is told by name what it does not know, and any number of descriptors. Both ends belong to the
//! same operator: what comes is believed, and still bounded, so that a broken peer is an error and not a full memory.
//!
//! ```text
//! message = "mpho" length:u64 descriptors:u32 json          numbers little-endian
//!           then one byte for every 128 descriptors or fewer, which carries them (SCM_RIGHTS)
//! ```

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const MAGIC: [u8; 4] = *b"mpho";
/// Descriptors with one byte. The kernel takes 253.
const BATCH: usize = 128;
/// The longest message, in bytes: a session is one or two thousand.
const LONGEST: u64 = 4 << 30;
/// The most descriptors of a message.
const DESCRIPTORS: usize = 1 << 20;
/// Room is made for so much of a message at first; more is made as it comes.
const AT_FIRST: u64 = 1 << 20;
/// The kernel takes no more descriptors before some of those on their way were received.
const PAUSE: Duration = Duration::from_millis(1);

/// A message was not sent or not received.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other process ended, or closed its end.
    #[error("the other process is gone")]
    Gone,
    /// It did not speak, or not listen, in time.
    #[error("the other process said nothing in time")]
    Late,
    /// What came is no message, or no such message.
    #[error("the other process is not understood: {0}")]
    Foreign(String),
    /// The system.
    #[error("the link to the other process broke: {0}")]
    Broken(io::Error),
}

impl From<io::Error> for LinkError {
    fn from(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                Self::Gone
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late,
            _ => Self::Broken(why),
        }
    }
}

impl From<Errno> for LinkError {
    fn from(why: Errno) -> Self {
        io::Error::from(why).into()
    }
}

/// One end of a link. Its calls block.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Both ends.
    ///
    /// # Errors
    /// The system's.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (near, far) = UnixStream::pair()?;
        Ok((Self(near), Self(far)))
    }

    /// The end that this process was started with as its standard input.
    ///
    /// # Errors
    /// The system's; when the standard input is no socket the first message fails.
    pub fn of_stdin() -> io::Result<Self> {
        Ok(Self(io::stdin().as_fd().try_clone_to_owned()?.into()))
    }

    /// For a process to be started with as its standard input.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.0.into()
    }

    /// Sends a message, and descriptors, which stay open here.
    ///
    /// # Errors
    /// When the other end is gone, or does not take it within `patience`.
    pub fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<(), LinkError> {
        let deadline = Instant::now() + patience;
        let json = serde_json::to_vec(message).map_err(|why| LinkError::Foreign(why.to_string()))?;
        let (length, count) = (json.len() as u64, descriptors.len());
        if length > LONGEST || count > DESCRIPTORS {
            return Err(LinkError::Foreign(format!("a message of {length} bytes and {count} descriptors")));
        }
        let count =
            u32::try_from(count).map_err(|_| LinkError::Foreign("too many descriptors".to_owned()))?;
        let mut head = MAGIC.to_vec();
        head.extend(length.to_le_bytes());
        head.extend(count.to_le_bytes());
        self.0.set_write_timeout(Some(left(deadline)?))?;
        (&self.0).write_all(&head)?;
        (&self.0).write_all(&json)?;
        for batch in descriptors.chunks(BATCH) {
            self.send_batch(batch, deadline)?;
        }
        Ok(())
    }

    fn send_batch(&self, batch: &[BorrowedFd<'_>], deadline: Instant) -> Result<(), LinkError> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        loop {
            let mut control = SendAncillaryBuffer::new(&mut room);
            if !control.push(SendAncillaryMessage::ScmRights(batch)) {
                return Err(LinkError::Foreign("descriptors do not fit their message".to_owned()));
            }
            self.0.set_write_timeout(Some(left(deadline)?))?;
            match sendmsg(&self.0, &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL) {
                Ok(1) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::TOOMANYREFS) => std::thread::sleep(PAUSE),
                Err(why) => return Err(why.into()),
            }
        }
    }

    /// Receives a message and its descriptors, which are not passed on to programs that this process starts.
    ///
    /// # Errors
    /// When the other end is gone, is silent for `patience`, or says something else.
    pub fn receive<T: DeserializeOwned>(&self, patience: Duration) -> Result<(T, Vec<OwnedFd>), LinkError> {
        let deadline = Instant::now() + patience;
        let mut head = [0; 16];
        self.read(&mut head, deadline)?;
        let [m0, m1, m2, m3, l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3] = head;
        let length = u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
        let count = usize::try_from(u32::from_le_bytes([c0, c1, c2, c3])).unwrap_or(usize::MAX);
        if [m0, m1, m2, m3] != MAGIC || length > LONGEST || count > DESCRIPTORS {
            return Err(LinkError::Foreign("it does not begin as a message does".to_owned()));
        }
        let mut json = Vec::new();
        let mut missing = length;
        while missing > 0 {
            let piece = usize::try_from(missing.min(AT_FIRST)).unwrap_or(0);
            let from = json.len();
            json.resize(from + piece, 0);
            self.read(json.get_mut(from..).unwrap_or_default(), deadline)?;
            missing -= piece as u64;
        }
        let mut descriptors = Vec::with_capacity(count);
        while descriptors.len() < count {
            let before = descriptors.len();
            self.receive_batch(&mut descriptors, deadline)?;
            if descriptors.len() == before {
                return Err(LinkError::Foreign(format!("{before} of {count} descriptors arrived")));
            }
        }
        let message = serde_json::from_slice(&json).map_err(|why| LinkError::Foreign(why.to_string()))?;
        Ok((message, descriptors))
    }

    fn receive_batch(&self, into: &mut Vec<OwnedFd>, deadline: Instant) -> Result<(), LinkError> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut byte = [0];
        let got = loop {
            self.0.set_read_timeout(Some(left(deadline)?))?;
            let into = &mut [IoSliceMut::new(&mut byte)];
            match recvmsg(&self.0, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                got => break got?,
            }
        };
        if got.bytes == 0 {
            return Err(LinkError::Gone);
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(LinkError::Foreign("the limit of open files (ulimit -n) is reached".to_owned()));
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                into.extend(descriptors);
            }
        }
        Ok(())
    }

    fn read(&self, mut into: &mut [u8], deadline: Instant) -> Result<(), LinkError> {
        while !into.is_empty() {
            // Also when it is late: what lies here already was said in time.
            self.0.set_read_timeout(Some(left(deadline).unwrap_or(PAUSE)))?;
            match (&self.0).read(into) {
                Ok(0) => return Err(LinkError::Gone),
                Ok(bytes) => into = into.get_mut(bytes..).unwrap_or_default(),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    }
}

/// What is left until a deadline; a system timeout of nothing would be none at all.
fn left(deadline: Instant) -> Result<Duration, LinkError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(LinkError::Late) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek, SeekFrom};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn descriptors_arrive_in_order_and_are_the_same_files() {
        let (near, far) = Link::pair().unwrap();
        let mut files: Vec<File> = (0..300).map(|_| tempfile::tempfile().unwrap()).collect();
        for (number, file) in files.iter_mut().enumerate() {
            write!(file, "{number}").unwrap();
        }
        let sent = std::thread::spawn(move || {
            let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            near.send(&"three hundred", &descriptors, PATIENCE).unwrap();
            near.send(&7, &[], PATIENCE).unwrap();
        });
        let (words, descriptors): (String, _) = far.receive(PATIENCE).unwrap();
        sent.join().unwrap();
        assert_eq!(words, "three hundred");
        assert_eq!(descriptors.len(), 300);
        for (number, descriptor) in descriptors.into_iter().enumerate() {
            let mut file = File::from(descriptor);
            file.seek(SeekFrom::Start(0)).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, number.to_string());
        }
        assert_eq!(far.receive::<u32>(PATIENCE).unwrap().0, 7);
        assert!(matches!(far.receive::<u32>(PATIENCE), Err(LinkError::Gone)));
    }

    #[test]
    fn a_message_of_many_megabytes_arrives_whole() {
        let (near, far) = Link::pair().unwrap();
        let long = "x".repeat(5 << 20);
        let sent = long.clone();
        let sender = std::thread::spawn(move || near.send(&sent, &[], PATIENCE).unwrap());
        assert!(far.receive::<String>(PATIENCE).unwrap().0 == long);
        sender.join().unwrap();
    }

    #[test]
    fn what_was_said_in_time_is_heard_by_who_was_held_up() {
        let (near, far) = Link::pair().unwrap();
        near.send(&"taken", &[], PATIENCE).unwrap();
        assert_eq!(far.receive::<String>(Duration::ZERO).unwrap().0, "taken");
        assert!(matches!(far.receive::<String>(Duration::ZERO), Err(LinkError::Late)));
    }

    #[test]
    fn silence_and_nonsense_are_errors() {
        let (near, far) = Link::pair().unwrap();
        assert!(matches!(far.receive::<u32>(Duration::from_millis(1)), Err(LinkError::Late)));
        near.send(&"a word", &[], PATIENCE).unwrap();
        assert!(matches!(far.receive::<u32>(PATIENCE), Err(LinkError::Foreign(_))));
        (&near.0).write_all(&[0; 16]).unwrap();
        assert!(matches!(far.receive::<u32>(PATIENCE), Err(LinkError::Foreign(_))));
        drop(far);
        assert!(matches!(near.send(&1, &[], PATIENCE), Err(LinkError::Gone)));
    }
}
