//! Key managers of server and agent.

mod disk;
mod keys_file;
mod memory;
mod ring;

pub use disk::{DISK_FOR_AGENT, DISK_FOR_SERVER};
pub use memory::MEMORY;
