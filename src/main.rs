//! The binary: everything is in the library.

use std::process::ExitCode;

/// Takes less time than the system's, and gives memory back after a large request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rollcall::cli::main()
}
