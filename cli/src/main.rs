//! The `adit` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    adit_cli::run()
}
