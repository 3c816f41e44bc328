//! The one executable: `serve` runs the service, everything else is its client.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::cli::run()
}
