//! What is done with each input of the fuzz targets: one function a target, of the same name.
//!
//! Each lets the code of the server loose on the input, and states what must hold whatever it is; a statement that does
//! not hold is a finding, as a panic is. [`world`] asks a whole server over HTTP; [`objects`] does with a body or a patch
//! what the server does with it, thousands of times a second; [`texts`] reads small texts; [`wire`] cuts streams.
//!
//! `./run` tries all of them for some seconds each. What it finds becomes a test beside the code.

mod objects;
mod texts;
mod wire;
mod world;

pub use objects::{json, patch, protobuf, yaml};
pub use texts::{jsonpath, quantity, selector};
pub use wire::{http, spdy, websocket};
pub use world::{path, requests};
