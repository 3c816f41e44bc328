//! The wire as clients may rely on it. Expectations are written by hand, from the protocols and not from the code: every route of
//! the table with every kind of caller, every error code, every example of the vendor's API pages, and what the SDKs need.

mod answer;
mod capability;
mod errors;
mod examples;
mod matrix;
mod methods;
mod rows;
mod schedule;
mod schedule_nonsense;
mod world;

pub(crate) use answer::Answer;
pub(crate) use world::Ask;
