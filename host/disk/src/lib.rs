//! The Disk trait under all durable code: the real file system and a simulated one that loses power.
