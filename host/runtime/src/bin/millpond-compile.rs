//! The compiling child alone, for tests and for hosts whose own executable cannot play it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == millpond_runtime::COMPILE_ARGUMENT => {
            millpond_runtime::compile_child_main(rest)
        }
        _ => {
            eprintln!(
                "usage: millpond-compile {} CLASS MEMORY CPU-SECONDS",
                millpond_runtime::COMPILE_ARGUMENT
            );
            ExitCode::from(2)
        }
    }
}
