//! The local store under faults: refused calls, power cuts, kills, and random scripts.

#[cfg(test)]
mod alignment;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod model;
#[cfg(test)]
mod power;
#[cfg(test)]
mod script;
