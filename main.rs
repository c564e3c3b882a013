//! The program. All its code is in the library, to which the lints against panics apply.

fn main() -> std::process::ExitCode {
    cgview::command::main()
}
