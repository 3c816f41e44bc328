//! Calls that are wrong, and what they are told.
