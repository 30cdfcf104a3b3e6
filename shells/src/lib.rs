//! shell
pub mod engine;
pub mod http;
