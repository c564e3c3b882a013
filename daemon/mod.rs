//! What makes a process the daemon: going to the background, giving up rights, logging.

mod background;
pub mod logging;
mod privileges;

pub use background::{Side, Starting, background};
pub use privileges::drop_unneeded;
