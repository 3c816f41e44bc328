//! Input that no well-behaved client sends, over raw sockets. Every case states the status and the words that it is answered
//! with; after each the service has to be alive, and at the end of a table nobody may have panicked, no file may be in the
//! store that no record knows, and an upload that ran all the while has to be whole.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[expect(dead_code, reason = "what other tests need of it is not needed here")]
#[path = "../integration/support/app.rs"]
mod app;
mod bodies;
mod case;
mod corpus;
mod framing;
mod image_ids;
mod job_fields;
mod multipart;
mod numbers;
mod queries;
mod resumable;
mod shares;
mod slow;
mod wire;
mod world;
