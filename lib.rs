pub mod bpf;
pub mod mirror;
mod sys;
