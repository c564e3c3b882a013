//! What cgview and view objects have to agree on, read from the authoring header by the build:
//! sizes and offsets of structs in bytes, a module for each, and the values of enumerators.

#![allow(dead_code, reason = "all members of the structs are listed")]

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
