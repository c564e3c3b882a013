//! What any daemon of this kind needs, whatever it serves: going to the background, privileges,
//! resource limits, logging.

mod background;
mod limits;
pub mod logging;
mod privileges;

pub use background::{Side, Starting, background};
pub use limits::raise_open_files_limit;
pub use privileges::{drop_unneeded_capabilities, is_root};
