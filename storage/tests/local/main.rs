//! The local store under faults: refused calls, power cuts, kills, and random scripts.

mod disks;
mod faults;
mod kill;
mod model;
mod power;
mod script;
