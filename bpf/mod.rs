pub mod manifest;
pub mod render;
