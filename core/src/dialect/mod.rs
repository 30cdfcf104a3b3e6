//! The seeds' simpler words for the same objects: translations at the edge, never a second model.

pub mod miniku;
