//! The project's own rules, checked on its sources. Needs no rights.

mod layering;
mod promises;
